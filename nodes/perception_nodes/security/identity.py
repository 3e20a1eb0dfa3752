"""A process's identity: its certificate and key, and the authority that signed all certificates."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from perception.errors import InputError
from perception.files import reading

AUTHORITY = "ca"
"""Name of the authority's files."""
EXPIRES_SOON = timedelta(days=30)
"""A certificate is renewed, and its process warns of it, this long before it expires."""
_MAX_BYTES = 2**20
_CURE = "perception certificates DEPLOYMENT makes all that are missing"
_CERTIFICATES = "give certificates as PEM, or delete the file and let perception certificates make it again"


@dataclass(frozen=True)
class Identity:
    """The PEM files of a process, checked when it is made, so that a mistake is reported instead of a silent network.

    Attributes:
        ca: Certificate of the authority that signed all certificates.
        certificate: The process's own certificate; access is granted to its common name. Certificates between it and
            the authority's may follow it.
        key: Key of the certificate, without a password, not readable to other users.

    Raises:
        InputError: A file is missing or not PEM, the key belongs to another certificate or can be read by other users,
            the authority has not signed the certificate, or one of both is not valid now.
    """

    ca: Path
    certificate: Path
    key: Path

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Reads the files again; raises InputError unless they can be used now."""
        authorities, chain = read_certificates(self.ca), read_certificates(self.certificate)
        if read_key(self.key).public_key() != chain[0].public_key():
            raise InputError(f"{self.key}: expected the key of {self.certificate}, found another; give both of a pair")
        self._expect_signed(chain, authorities)

    @property
    def name(self) -> str:
        """The certificate's common name; empty if it has none."""
        names = read_certificates(self.certificate)[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if names else ""

    def expect_server_of(self, host: str) -> None:
        """Raises InputError unless the certificate is valid for the server at a host, a name or an address."""
        certificate = read_certificates(self.certificate)[0]
        hosts = hosts_of(certificate)
        if not _may_serve(certificate):
            raise InputError(f"{self.certificate}: expected a certificate for a server, found one for clients only")
        if host not in hosts:
            raise InputError(
                f"{self.certificate}: expected a certificate for {host}, where the router is reached, found one for "
                f"{', '.join(hosts) or 'no host'}; perception certificates DEPLOYMENT --host {host}"
            )

    def zenoh_settings(self, *, accepts: bool) -> dict[str, object]:
        """Returns the settings of a zenoh session that uses only TLS and asks every peer for a certificate.

        Args:
            accepts: Whether peers connect to the session, instead of the session to peers.

        Raises:
            InputError: The files cannot be used any more.
        """
        self.check()
        way = "listen" if accepts else "connect"
        tls = {
            "root_ca_certificate": str(self.ca),
            "enable_mtls": True,
            "verify_name_on_connect": True,
            "close_link_on_expiration": True,
            f"{way}_certificate": str(self.certificate),
            f"{way}_private_key": str(self.key),
        }
        return {"transport/link/tls": tls, "transport/link/protocols": ["tls"]}

    def _expect_signed(self, chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate]) -> None:
        """Follows the signatures from the process's certificate to one of the authority's."""
        certificate, between = chain[0], list(chain[1:])
        _expect_valid_now(self.certificate, certificate)
        while (signer := _signer(certificate, authorities)) is None:
            certificate = _signer(certificate, between)
            if certificate is None:
                raise InputError(
                    f"{self.certificate}: expected a certificate that {self.ca} has signed, found one of another "
                    "authority; put both from the same place, or delete the certificate and its key and let perception "
                    "certificates make them again"
                )
            between.remove(certificate)
            _expect_valid_now(self.certificate, certificate)
        _expect_valid_now(self.ca, signer)


def identity_in(folder: Path, name: str) -> Identity:
    """Returns the identity of a process from ca.pem, NAME.pem and NAME.key of a folder.

    Raises:
        InputError: As for `Identity`, or the certificate's common name is another one.
    """
    identity = Identity(folder / f"{AUTHORITY}.pem", folder / f"{name}.pem", folder / f"{name}.key")
    if identity.name != name:
        raise InputError(
            f"{identity.certificate}: expected the common name {name!r}, which access is granted to, found "
            f"{identity.name!r}; issue a certificate for {name}"
        )
    return identity


def read_certificates(path: Path) -> list[x509.Certificate]:
    """Returns the certificates of a PEM file, at least one.

    Raises:
        InputError: There is no such file, or it holds something else.
    """
    data = _read(path)
    with reading(path, _CERTIFICATES):
        found = x509.load_pem_x509_certificates(data)
        for certificate in found:  # their parts are parsed when they are asked for
            _ = (certificate.subject, certificate.issuer, certificate.public_key(), certificate.extensions)
            _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
            _ = hosts_of(certificate)
        return found


def read_key(path: Path) -> PrivateKeyTypes:
    """Returns the private key of a PEM file.

    Raises:
        InputError: There is no such file, it holds something else, or other users can read it.
    """
    data = _read(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IRWXO:
        raise InputError(f"{path}: expected a key that others cannot read, its mode is {mode:o}; chmod 600 {path}")
    with reading(path, f"give a private key as PEM without a password; {_CURE}"):
        return load_pem_private_key(data, password=None)


def hosts_of(certificate: x509.Certificate) -> list[str]:
    """Returns the names and addresses of hosts that a certificate is valid for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in names if isinstance(name, x509.DNSName | x509.IPAddress)]


def is_signed_by(certificate: x509.Certificate, signer: x509.Certificate) -> bool:
    """Whether a certificate has the signature of another, which may sign certificates."""
    try:
        certificate.verify_directly_issued_by(signer)
        constraints = signer.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return constraints.ca


def _signer(certificate: x509.Certificate, among: Sequence[x509.Certificate]) -> x509.Certificate | None:
    return next((other for other in among if is_signed_by(certificate, other)), None)


def _may_serve(certificate: x509.Certificate) -> bool:
    try:
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in uses


def _expect_valid_now(path: Path, certificate: x509.Certificate) -> None:
    now = datetime.now(UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        lasted = f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"
        raise InputError(
            f"{path}: expected a certificate that is valid now, it is valid {lasted}; perception certificates "
            "DEPLOYMENT renews it"
        )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {_CURE}") from error
