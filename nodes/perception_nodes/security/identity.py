"""A process's identity: its certificate and key, and the authority that signed all certificates."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from perception.errors import InputError

_MAX_BYTES = 2**20


@dataclass(frozen=True)
class Identity:
    """The PEM files of a process, checked when it is made, so that a mistake is reported instead of a silent network.

    Attributes:
        ca: Certificate of the authority that signed all certificates.
        certificate: The process's own certificate; access is granted to its common name.
        key: Key of the certificate, without a password, not readable to other users.

    Raises:
        InputError: A file is missing or not PEM, the key belongs to another certificate or can be read by other users,
            or the certificate is not valid now.
    """

    ca: Path
    certificate: Path
    key: Path

    def __post_init__(self) -> None:
        _certificate(self.ca)
        own = _certificate(self.certificate)
        if _key(self.key).public_key() != own.public_key():
            raise InputError(f"{self.key}: expected the key of {self.certificate}, found another; give both of a pair")
        now = datetime.now(UTC)
        if not own.not_valid_before_utc <= now <= own.not_valid_after_utc:
            lasted = f"{own.not_valid_before_utc:%Y-%m-%d} to {own.not_valid_after_utc:%Y-%m-%d}"
            raise InputError(
                f"{self.certificate}: expected a certificate that is valid now, it is valid {lasted}; issue a new one"
            )

    @property
    def name(self) -> str:
        """The certificate's common name; empty if it has none."""
        names = _certificate(self.certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if names else ""

    def zenoh_settings(self, *, accepts: bool) -> dict[str, object]:
        """Returns the settings of a zenoh session that uses only TLS and asks every peer for a certificate.

        Args:
            accepts: Whether peers connect to the session, instead of the session to peers.
        """
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


def identity_in(folder: Path, name: str) -> Identity:
    """Returns the identity of a process from ca.pem, NAME.pem and NAME.key of a folder.

    Raises:
        InputError: As for `Identity`, or the certificate's common name is another one.
    """
    identity = Identity(folder / "ca.pem", folder / f"{name}.pem", folder / f"{name}.key")
    if identity.name != name:
        raise InputError(
            f"{identity.certificate}: expected the common name {name!r}, which access is granted to, found "
            f"{identity.name!r}; issue a certificate for {name}"
        )
    return identity


def _certificate(path: Path) -> x509.Certificate:
    data = _read(path)
    try:
        return x509.load_pem_x509_certificate(data)
    except ValueError as error:
        raise InputError(f"{path}: expected a certificate as PEM, found something else ({error})") from error


def _key(path: Path) -> PrivateKeyTypes:
    data, mode = _read(path), stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IRWXO:
        raise InputError(f"{path}: expected a key that others cannot read, its mode is {mode:o}; chmod 600 {path}")
    try:
        return load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: expected a private key as PEM without a password ({error})") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); perception certificates DEPLOYMENT makes all that are missing"
        ) from error
