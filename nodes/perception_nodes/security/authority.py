"""A private certificate authority, which makes the certificates of a deployment."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from perception.errors import InputError
from perception.files import whole_file

AUTHORITY = "ca"
AUTHORITY_DAYS, PROCESS_DAYS = 3650, 825
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_CLOCKS_DIFFER = timedelta(hours=1)


def make_certificates(folder: Path, names: Iterable[str], *, server: str, hosts: Sequence[str] = ()) -> list[str]:
    """Makes the files that are missing in a folder: ca.pem and ca.key, and NAME.pem and NAME.key of every name.

    Only the server's certificate is valid for accepting connections, so that no other process can pose as the server.
    Keys are elliptic (P-256), and only their owner can read them.

    Args:
        folder: Folder of the certificates; those that it has already stay.
        names: Common names.
        server: The name among them that the others connect to.
        hosts: Names and addresses at which the server is reached, in addition to those of loopback.

    Returns:
        The names that got a certificate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = folder / f"{AUTHORITY}.pem", folder / f"{AUTHORITY}.key"
    if not certificate.exists():
        _make_authority(certificate, key)
    missing = [name for name in names if not (folder / f"{name}.pem").exists()]
    if missing and not key.exists():
        raise InputError(
            f"{key}: expected the authority's key, to sign certificates of {', '.join(missing)}; found none; "
            "make them where it is, and copy them here"
        )
    for name in missing:
        _issue(folder, name, (*LOCAL_HOSTS, *hosts) if name == server else ())
    return missing


def _make_authority(certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = _name("frozen-perception authority")
    signing = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = _builder(name, private.public_key(), AUTHORITY_DAYS).issuer_name(name)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    made = builder.add_extension(signing, critical=True).sign(private, SHA256())
    _write(key, _pem(private))
    _write(certificate, made.public_bytes(Encoding.PEM), mode=0o644)


def _issue(folder: Path, name: str, hosts: Sequence[str]) -> None:
    """Makes the certificate and key of a process; with hosts, they are valid for a server."""
    authority = x509.load_pem_x509_certificate((folder / f"{AUTHORITY}.pem").read_bytes())
    signer = load_pem_private_key((folder / f"{AUTHORITY}.key").read_bytes(), password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    private = ec.generate_private_key(ec.SECP256R1())
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])]
    builder = _builder(_name(name), private.public_key(), PROCESS_DAYS).issuer_name(authority.subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
    _write(folder / f"{name}.key", _pem(private))
    _write(folder / f"{name}.pem", builder.sign(signer, SHA256()).public_bytes(Encoding.PEM), mode=0o644)


def _builder(name: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - _CLOCKS_DIFFER).not_valid_after(now + timedelta(days=days))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Writes a file that others can read only if `mode` says so, at no time before."""
    with (
        whole_file(path) as temporary,
        os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file,
    ):
        file.write(data)
