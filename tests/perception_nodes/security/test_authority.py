from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from perception.errors import InputError
from perception_nodes.security.authority import make_certificates
from perception_nodes.security.identity import identity_in


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_everybody_gets_a_certificate_of_one_authority_and_a_key_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert make_certificates(folder, ["router", "ego"], server="router", hosts=["robot.lan"]) == ["router", "ego"]
    authority = read(folder / "ca.pem")
    for name in ("router", "ego"):
        certificate = read(folder / f"{name}.pem")
        certificate.verify_directly_issued_by(authority)
        assert identity_in(folder, name).name == name
        assert stat.S_IMODE((folder / f"{name}.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "ca.key").stat().st_mode) == 0o600
    assert not list(folder.glob(".*"))


def test_only_the_server_can_be_taken_for_one(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["router", "ego"], server="router", hosts=["robot.lan", "10.0.0.7"])
    router, ego = read(tmp_path / "router.pem"), read(tmp_path / "ego.pem")
    names = router.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "robot.lan"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "10.0.0.7"]
    usage = ego.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    with pytest.raises(x509.ExtensionNotFound):
        ego.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_what_is_there_stays_and_what_is_missing_is_added(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["router"], server="router")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert make_certificates(tmp_path, ["router", "ego"], server="router") == ["ego"]
    assert before.items() <= {path.name: path.read_bytes() for path in tmp_path.iterdir()}.items()


def test_without_the_authoritys_key_nothing_can_be_signed(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["router"], server="router")
    (tmp_path / "ca.key").unlink()
    assert make_certificates(tmp_path, ["router"], server="router") == []
    with pytest.raises(InputError, match=r"ca\.key: expected the authority's key, to sign certificates of ego"):
        make_certificates(tmp_path, ["router", "ego"], server="router")
