from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from perception.errors import InputError
from perception_nodes.security import authority
from perception_nodes.security.authority import make_certificates
from perception_nodes.security.identity import identity_in


def test_zenoh_is_told_to_speak_tls_only_and_to_ask_for_certificates(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["router"], server="router")
    settings = identity_in(tmp_path, "router").zenoh_settings(accepts=True)
    tls = settings["transport/link/tls"]
    assert isinstance(tls, dict)
    assert tls["enable_mtls"] is tls["verify_name_on_connect"] is True
    assert tls["listen_private_key"] == str(tmp_path / "router.key")
    assert "connect_private_key" not in tls
    assert settings["transport/link/protocols"] == ["tls"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda d: (d / "ego.pem").unlink(), "ego.pem: cannot be read (No such file"),
        (lambda d: (d / "ego.key").unlink(), "perception certificates DEPLOYMENT makes all that are missing"),
        (lambda d: (d / "ca.pem").write_text("x"), "ca.pem: it cannot be parsed (Unable to load PEM file"),
        (lambda d: (d / "ego.key").write_text("x"), "; give a private key as PEM without a password"),
        (lambda d: (d / "ego.key").chmod(0o644), "that others cannot read, its mode is 644; chmod 600"),
        (lambda d: (d / "ego.key").write_bytes((d / "router.key").read_bytes()), "the key of"),
        (lambda d: [(d / f"router.{end}").rename(d / f"ego.{end}") for end in ("pem", "key")], "found 'router'"),
    ],
)
def test_certificates_that_will_not_do_are_refused_with_the_cure(
    tmp_path: Path, change: Callable[[Path], object], complaint: str
) -> None:
    make_certificates(tmp_path, ["router", "ego"], server="router")
    change(tmp_path)
    with pytest.raises(InputError) as error:
        identity_in(tmp_path, "ego")
    assert complaint in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_key_that_a_group_may_read_is_taken(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["ego"], server="router")
    (tmp_path / "ego.key").chmod(0o640)  # as Debian's group ssl-cert has it
    assert identity_in(tmp_path, "ego").name == "ego"


def test_a_certificate_out_of_its_time_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority, "PROCESS_DAYS", -1)
    monkeypatch.setattr(authority, "_CLOCKS_DIFFER", timedelta(days=9))
    make_certificates(tmp_path, ["ego"], server="router")
    with pytest.raises(
        InputError,
        match=r"ego\.pem: .* it is valid 20\d\d-\d\d-\d\d to 20\d\d-\d\d-\d\d; perception .* renews it",
    ):
        identity_in(tmp_path, "ego")


def test_a_certificate_that_the_authority_has_not_signed_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "one", tmp_path / "other"):
        make_certificates(folder, ["ego"], server="router")
    (tmp_path / "one" / "ca.pem").write_bytes((tmp_path / "other" / "ca.pem").read_bytes())
    with pytest.raises(InputError, match=r"ego\.pem: expected a certificate that .*ca\.pem has signed, found one of"):
        identity_in(tmp_path / "one", "ego")


def test_a_process_is_no_authority_for_another(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["ego", "forged"], server="router")
    signer = load_pem_private_key((tmp_path / "ego.key").read_bytes(), password=None)
    ego = x509.load_pem_x509_certificate((tmp_path / "ego.pem").read_bytes())
    key = load_pem_private_key((tmp_path / "forged.key").read_bytes(), password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    forged = authority._builder(authority._name("forged"), key.public_key(), 9).issuer_name(ego.subject)
    pem = forged.sign(signer, SHA256()).public_bytes(Encoding.PEM) + ego.public_bytes(Encoding.PEM)
    (tmp_path / "forged.pem").write_bytes(pem)
    with pytest.raises(InputError, match="found one of another authority"):
        identity_in(tmp_path, "forged")


def test_certificates_between_the_authority_and_the_process_are_followed(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["ego"], server="router")
    root, between, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))

    def sign(name: str, key: ec.EllipticCurvePrivateKey, by: str, signer: ec.EllipticCurvePrivateKey) -> bytes:
        builder = authority._builder(authority._name(name), key.public_key(), 9).issuer_name(authority._name(by))
        builder = builder.add_extension(x509.BasicConstraints(ca=name != "ego", path_length=None), critical=True)
        return builder.sign(signer, SHA256()).public_bytes(Encoding.PEM)

    (tmp_path / "ca.pem").write_bytes(sign("root", root, "root", root))
    (tmp_path / "ego.key").write_bytes(authority._pem(leaf))
    chain = [sign("ego", leaf, "between", between), sign("between", between, "root", root)]
    (tmp_path / "ego.pem").write_bytes(b"".join(chain))
    assert identity_in(tmp_path, "ego").name == "ego"
    (tmp_path / "ego.pem").write_bytes(chain[0])
    with pytest.raises(InputError, match="found one of another authority"):
        identity_in(tmp_path, "ego")


def test_an_authority_out_of_its_time_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority, "AUTHORITY_DAYS", -1)
    monkeypatch.setattr(authority, "_CLOCKS_DIFFER", timedelta(days=9))
    make_certificates(tmp_path, ["ego"], server="router")
    with pytest.raises(InputError, match=r"ca\.pem: expected a certificate that is valid now"):
        identity_in(tmp_path, "ego")


def test_a_ca_pem_that_goes_away_later_is_noticed_before_anything_connects(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["router", "ego"], server="router")
    ego = identity_in(tmp_path, "ego")
    (tmp_path / "ca.pem").unlink()
    with pytest.raises(InputError, match=r"ca\.pem: cannot be read"):
        ego.zenoh_settings(accepts=False)


def test_a_client_cannot_be_taken_for_the_server(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["router", "ego"], server="router")
    identity_in(tmp_path, "router").expect_server_of("127.0.0.1")
    with pytest.raises(InputError, match="expected a certificate for a server, found one for clients only"):
        identity_in(tmp_path, "ego").expect_server_of("127.0.0.1")
