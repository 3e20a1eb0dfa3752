from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

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
        (lambda d: (d / "ca.pem").write_text("x"), "ca.pem: expected a certificate as PEM"),
        (lambda d: (d / "ego.key").write_text("x"), "ego.key: expected a private key as PEM"),
        (lambda d: (d / "ego.key").chmod(0o644), "that others cannot read, its mode is 644; chmod 600"),
        (lambda d: (d / "ego.key").write_bytes((d / "router.key").read_bytes()), "the key of"),
        (lambda d: [(d / f"router.{end}").rename(d / f"ego.{end}") for end in ("pem", "key")], "found 'router'"),
    ],
)
def test_papers_that_will_not_do_are_refused_with_the_cure(
    tmp_path: Path, change: Callable[[Path], object], complaint: str
) -> None:
    make_certificates(tmp_path, ["router", "ego"], server="router")
    change(tmp_path)
    with pytest.raises(InputError) as error:
        identity_in(tmp_path, "ego")
    assert complaint in str(error.value)
    assert str(error.value).count(": expected") + str(error.value).count(": cannot") == 1  # one complaint


def test_a_key_that_a_group_may_read_is_taken(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["ego"], server="router")
    (tmp_path / "ego.key").chmod(0o640)  # as Debian's group ssl-cert has it
    assert identity_in(tmp_path, "ego").name == "ego"


def test_a_certificate_out_of_its_time_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority, "PROCESS_DAYS", -1)
    monkeypatch.setattr(authority, "_CLOCKS_DIFFER", timedelta(days=9))
    make_certificates(tmp_path, ["ego"], server="router")
    with pytest.raises(
        InputError, match=r"valid now, it is valid 20\d\d-\d\d-\d\d to 20\d\d-\d\d-\d\d; issue a new one"
    ):
        identity_in(tmp_path, "ego")
