from __future__ import annotations

import shutil
import ssl
import stat
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from perception.errors import InputError
from perception.files import LOCK_FILE
from perception_nodes.security import authority
from perception_nodes.security.authority import make_certificates
from perception_nodes.security.identity import Identity, identity_in


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_everybody_gets_a_certificate_of_one_authority_and_a_key_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    made = make_certificates(folder, ["router", "ego"], server="router", hosts=["robot.lan"])
    assert made == {"ca": "made", "router": "made", "ego": "made"}
    authority = read(folder / "ca.pem")
    for name in ("router", "ego"):
        certificate = read(folder / f"{name}.pem")
        certificate.verify_directly_issued_by(authority)
        assert identity_in(folder, name).name == name
        assert stat.S_IMODE((folder / f"{name}.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "ca.key").stat().st_mode) == 0o600
    assert [path.name for path in folder.glob(".*")] == [LOCK_FILE]


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
    before = {path.name: path.read_bytes() for path in tmp_path.glob("[a-z]*")}
    assert make_certificates(tmp_path, ["router", "ego"], server="router") == {"ego": "made"}
    assert before.items() <= {path.name: path.read_bytes() for path in tmp_path.iterdir()}.items()


def test_without_the_authoritys_key_nothing_can_be_signed(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["router"], server="router")
    (tmp_path / "ca.key").unlink()
    assert make_certificates(tmp_path, ["router"], server="router") == {}
    with pytest.raises(InputError, match=r"ca\.key: expected the authority's key, to sign certificates of ego"):
        make_certificates(tmp_path, ["router", "ego"], server="router")


def days(monkeypatch: pytest.MonkeyPatch, *, process: int = 825, of_authority: int = 3650) -> None:
    """Sets how long certificates last that are made from here on."""
    monkeypatch.setattr(authority, "PROCESS_DAYS", process)
    monkeypatch.setattr(authority, "AUTHORITY_DAYS", of_authority)


def handshake(server: Identity, client: Identity) -> str:
    """The name that the client sees, when both check as strictly as Python can."""
    contexts = [ssl.SSLContext(kind) for kind in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT)]
    for context, identity in zip(contexts, (server, client), strict=True):
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(identity.ca)
        context.load_cert_chain(identity.certificate, identity.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = contexts[0].wrap_bio(to_server, to_client, server_side=True)
    other = contexts[1].wrap_bio(to_client, to_server, server_hostname="localhost")
    waiting = [one, other]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                continue
    assert waiting == []
    seen = other.getpeercert(binary_form=True)
    assert seen is not None
    return str(x509.load_der_x509_certificate(seen).subject.rfc4514_string())


def test_certificates_pass_the_strict_checks_of_openssl_and_python(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["router", "ego"], server="router")
    assert handshake(identity_in(tmp_path, "router"), identity_in(tmp_path, "ego")) == "CN=router"
    if openssl := shutil.which("openssl"):
        for name, purpose in (("router", "sslserver"), ("router", "sslclient"), ("ego", "sslclient")):
            command = [openssl, "verify", "-x509_strict", "-purpose", purpose, "-CAfile", "ca.pem", f"{name}.pem"]
            checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert (checked.returncode, checked.stdout) == (0, f"{name}.pem: OK\n"), checked.stderr


def test_what_expires_soon_is_renewed_by_the_same_authority_and_both_understand_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days(monkeypatch, process=29)
    make_certificates(tmp_path, ["ego"], server="router")
    former = tmp_path / "former"
    shutil.copytree(tmp_path, former)
    days(monkeypatch)
    make_certificates(tmp_path, ["router"], server="router")
    renewed = make_certificates(tmp_path, ["router", "ego"], server="router")
    assert list(renewed) == ["ego"]
    assert renewed["ego"].startswith("renewed, was valid until 20")
    assert (tmp_path / "ca.pem").read_bytes() == (former / "ca.pem").read_bytes()
    assert (tmp_path / "ego.key").read_bytes() != (former / "ego.key").read_bytes()
    for ego in (identity_in(former, "ego"), identity_in(tmp_path, "ego")):
        assert handshake(identity_in(tmp_path, "router"), ego) == "CN=router"


def test_an_authority_that_expires_soon_keeps_its_key_so_that_what_it_signed_stays_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days(monkeypatch, of_authority=29)
    make_certificates(tmp_path, ["router", "ego"], server="router")
    before = read(tmp_path / "ca.pem")
    days(monkeypatch)
    assert list(make_certificates(tmp_path, ["router", "ego"], server="router")) == ["ca"]
    after = read(tmp_path / "ca.pem")
    assert after.public_key() == before.public_key()
    assert after.not_valid_after_utc - before.not_valid_after_utc > timedelta(days=3000)
    assert handshake(identity_in(tmp_path, "router"), identity_in(tmp_path, "ego")) == "CN=router"


def test_a_lost_ca_pem_is_made_again_for_its_key_and_never_replaced_by_another_authority(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["router"], server="router")
    key = read(tmp_path / "ca.pem").public_key()
    (tmp_path / "ca.pem").unlink()
    assert make_certificates(tmp_path, ["router"], server="router") == {"ca": "made again for its key"}
    assert read(tmp_path / "ca.pem").public_key() == key
    (tmp_path / "ca.pem").unlink()
    (tmp_path / "ca.key").unlink()
    with pytest.raises(InputError, match=r"ca\.pem: expected the certificate of the authority that signed router\.pem"):
        make_certificates(tmp_path, ["router"], server="router")


def test_another_authority_beside_the_certificates_is_refused(tmp_path: Path) -> None:
    make_certificates(tmp_path / "one", ["router"], server="router")
    make_certificates(tmp_path / "other", ["router"], server="router")
    for name in ("ca.pem", "ca.key"):
        shutil.copy(tmp_path / "other" / name, tmp_path / "one" / name)
        with pytest.raises(InputError, match=r"expected the key of|router\.pem: expected a certificate that .*ca\.pem"):
            make_certificates(tmp_path / "one", ["router"], server="router")


def test_a_server_gets_the_hosts_that_are_asked_for_and_keeps_those_it_has(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["router"], server="router", hosts=["robot.lan"])
    assert make_certificates(tmp_path, ["router"], server="router", hosts=["robot.lan"]) == {}
    again = make_certificates(tmp_path, ["router"], server="router", hosts=["10.0.0.7"])
    assert again == {"router": "renewed for 10.0.0.7"}
    router = identity_in(tmp_path, "router")
    for host in ("localhost", "robot.lan", "10.0.0.7"):
        router.expect_server_of(host)
    with pytest.raises(InputError, match=r"for elsewhere, where .* for localhost, 127\.0\.0\.1, ::1, robot\.lan"):
        router.expect_server_of("elsewhere")
    with pytest.raises(InputError, match="expected a name in ASCII"):
        make_certificates(tmp_path, ["router"], server="router", hosts=["röbot"])


def test_a_certificate_without_its_key_is_made_again(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["router", "ego"], server="router")
    (tmp_path / "ego.key").unlink()
    assert make_certificates(tmp_path, ["router", "ego"], server="router") == {"ego": "made again for want of its key"}
    shutil.copy(tmp_path / "router.key", tmp_path / "ego.key")  # as if the process had been killed between both files
    assert list(make_certificates(tmp_path, ["router", "ego"], server="router")) == ["ego"]
    identity_in(tmp_path, "ego")
