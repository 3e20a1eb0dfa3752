"""A private certificate authority, which makes and renews the certificates of a deployment."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from perception.errors import InputError
from perception.files import alone_in, whole_file
from perception_nodes.security.identity import (
    AUTHORITY,
    EXPIRES_SOON,
    hosts_of,
    is_signed_by,
    read_certificates,
    read_key,
)

AUTHORITY_DAYS, PROCESS_DAYS = 3650, 825
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_CLOCKS_DIFFER = timedelta(hours=1)
_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True)
class _Authority:
    """The certificate that signs others, and its key where it is known; `reason` says why it is to be written."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | None
    reason: str = ""


def make_certificates(
    folder: Path, names: Iterable[str], *, server: str, hosts: Sequence[str] = ()
) -> Mapping[str, str]:
    """Makes the certificates that a folder lacks, and renews those that expire soon; the authority stays the same.

    The files are ca.pem and ca.key, and NAME.pem and NAME.key of every name. Only the server's certificate is valid for
    accepting connections, so that no other process can pose as the server. Keys are elliptic (P-256), and only their
    owner can read them. A renewed certificate has a new key; the authority's has the same key, so that certificates
    which it has signed before stay good.

    Args:
        folder: Folder of the certificates; those that it has already, and that need not be renewed, stay.
        names: Common names.
        server: The name among them that the others connect to.
        hosts: Names and addresses at which the server is reached, in addition to those of loopback and those that its
            certificate has already.

    Returns:
        Why each name got a certificate; the authority's name is `ca`.

    Raises:
        InputError: The authority's certificate or key is needed and missing, or a certificate is of another authority.
    """
    with alone_in(folder, "perception certificates"):
        names = list(names)
        authority = _authority_in(folder, names)
        at = {name: _server_hosts(folder, name, hosts) if name == server else [] for name in names}
        reasons = {name: _reason(folder, name, authority, at[name]) for name in names}
        reasons = {name: reason for name, reason in reasons.items() if reason}
        key = folder / f"{AUTHORITY}.key"
        if reasons and authority.key is None:
            raise InputError(
                f"{key}: expected the authority's key, to sign certificates of {', '.join(reasons)}; found none; "
                "make them where it is, and copy them here"
            )
        if authority.reason:
            assert authority.key is not None
            if not key.exists():
                _write(key, _pem(authority.key))
            _write(folder / f"{AUTHORITY}.pem", authority.certificate.public_bytes(Encoding.PEM), mode=0o644)
        for name in reasons:
            _issue(folder, name, authority, at[name])
        return {AUTHORITY: authority.reason, **reasons} if authority.reason else reasons


def _authority_in(folder: Path, names: Sequence[str]) -> _Authority:
    """Returns the authority of a folder; one that is to be written has a reason."""
    pem, path = folder / f"{AUTHORITY}.pem", folder / f"{AUTHORITY}.key"
    key = _read_elliptic(path) if path.exists() else None
    if pem.exists():
        certificate = read_certificates(pem)[0]
        if key is None:
            return _Authority(certificate, None)
        if key.public_key() != certificate.public_key():
            raise InputError(f"{path}: expected the key of {pem}, found another; put both from the same place")
        if reason := _expiry(certificate) or _laxity(certificate, x509.SubjectKeyIdentifier):
            return _Authority(_authority(key, certificate.subject), key, reason)
        return _Authority(certificate, key)
    if key is not None:
        return _Authority(_authority(key), key, "made again for its key")
    signed = [f"{name}.pem" for name in names if (folder / f"{name}.pem").exists()]
    if signed:
        raise InputError(
            f"{pem}: expected the certificate of the authority that signed {', '.join(signed)}, found none; copy it "
            "from where it is, or delete all certificates and keys here for a new authority"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    return _Authority(_authority(key), key, "made")


def _server_hosts(folder: Path, name: str, hosts: Sequence[str]) -> list[str]:
    """Returns the hosts of the server's certificate: those of loopback, those that it has, and further ones."""
    pem = folder / f"{name}.pem"
    former = hosts_of(read_certificates(pem)[0]) if pem.exists() else []
    return list(dict.fromkeys([*LOCAL_HOSTS, *former, *(str(_host(host).value) for host in hosts)]))


def _reason(folder: Path, name: str, authority: _Authority, hosts: Sequence[str]) -> str:
    """Returns why a process needs a new certificate; empty if it does not."""
    pem, key = folder / f"{name}.pem", folder / f"{name}.key"
    if not pem.exists():
        return "made"
    certificate = read_certificates(pem)[0]
    if not is_signed_by(certificate, authority.certificate):
        raise InputError(
            f"{pem}: expected a certificate that {folder / f'{AUTHORITY}.pem'} has signed, found one of another "
            f"authority; put the right {AUTHORITY}.pem there, or delete {name}.pem and {name}.key to have them made"
        )
    if authority.key is not None:
        if not key.exists() or read_key(key).public_key() != certificate.public_key():
            return "made again for want of its key"
        if missing := [host for host in hosts if host not in hosts_of(certificate)]:
            return f"renewed for {', '.join(missing)}"
        if reason := _laxity(certificate, x509.AuthorityKeyIdentifier):
            return reason
    return _expiry(certificate)


def _expiry(certificate: x509.Certificate) -> str:
    ends = certificate.not_valid_after_utc
    return f"renewed, was valid until {ends:%Y-%m-%d}" if ends < datetime.now(UTC) + EXPIRES_SOON else ""


def _laxity(certificate: x509.Certificate, extension: type[x509.ExtensionType]) -> str:
    """Returns that a certificate lacks an extension; those of our former versions did."""
    try:
        certificate.extensions.get_extension_for_class(extension)
    except x509.ExtensionNotFound:
        return f"renewed, lacked the extension {extension.__name__}"
    return ""


def _authority(key: ec.EllipticCurvePrivateKey, name: x509.Name | None = None) -> x509.Certificate:
    """Returns the certificate of an authority, signed by itself."""
    name = name or _name("frozen-perception authority")
    builder = _builder(name, key.public_key(), AUTHORITY_DAYS, "key_cert_sign", "crl_sign").issuer_name(name)
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(key, SHA256())


def _issue(folder: Path, name: str, authority: _Authority, hosts: Sequence[str]) -> None:
    """Makes the certificate and key of a process; with hosts, they are valid for a server."""
    assert authority.key is not None
    private = ec.generate_private_key(ec.SECP256R1())
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])]
    builder = _builder(_name(name), private.public_key(), PROCESS_DAYS, "digital_signature")
    builder = builder.issuer_name(authority.certificate.subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = builder.add_extension(signer, critical=False)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
    _write(folder / f"{name}.key", _pem(private))
    _write(folder / f"{name}.pem", builder.sign(authority.key, SHA256()).public_bytes(Encoding.PEM), mode=0o644)


def _builder(name: x509.Name, key: ec.EllipticCurvePublicKey, days: int, *uses: str) -> x509.CertificateBuilder:
    """Begins a certificate with what RFC 5280 asks of every one."""
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - _CLOCKS_DIFFER).not_valid_after(now + timedelta(days=days))
    builder = builder.add_extension(x509.KeyUsage(**{use: use in uses for use in _USES}), critical=True)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _read_elliptic(path: Path) -> ec.EllipticCurvePrivateKey:
    key = read_key(path)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError(f"{path}: expected an elliptic key, found another kind; sign certificates where it is from")
    return key


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(text: str) -> x509.IPAddress | x509.DNSName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        return x509.DNSName(text)
    except ValueError as error:
        raise InputError(f"--host {text!r}: expected a name in ASCII or an address ({error}); give another") from error


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Writes a file that others can read only if `mode` says so, at no time before."""
    with (
        whole_file(path) as temporary,
        os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file,
    ):
        file.write(data)
