from __future__ import annotations

import queue
import time
from pathlib import Path

import pytest
import zenoh
from prometheus_client import CollectorRegistry, generate_latest

from perception_nodes.operations.certificate_expiry import CertificateExpiry, diagnosed
from perception_nodes.operations.diagnostics import DIAGNOSTICS, DIAGNOSTICS_TOPIC, Level
from perception_nodes.ros.messages import deserialize, topic_of
from perception_nodes.ros.topics import RosNode
from perception_nodes.ros.wire import RmwZenoh
from perception_nodes.security import authority
from perception_nodes.security.authority import make_certificates
from perception_nodes.security.identity import identity_in

DAY_S = 86_400


def expiry_in(folder: Path, name: str) -> CertificateExpiry:
    return CertificateExpiry(identity_in(folder, name), name)


def seconds_left(expiry: CertificateExpiry) -> dict[str, float]:
    (gauge,) = expiry.collect()
    return {sample.labels["certificate"]: sample.value for sample in gauge.samples}


def test_the_seconds_that_each_certificate_is_valid_are_a_metric(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["router", "ego", "other"], server="router")
    expiry = expiry_in(tmp_path, "ego")
    left = seconds_left(expiry)
    assert left == pytest.approx({"ego": 825 * DAY_S, "ca": 3650 * DAY_S, "router": 825 * DAY_S}, abs=600)
    registry = CollectorRegistry()
    registry.register(expiry)
    assert b'perception_certificate_expires_in_seconds{certificate="router"} 7.12' in generate_latest(registry)


def test_a_renewed_certificate_counts_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority, "PROCESS_DAYS", 12)
    make_certificates(tmp_path, ["ego"], server="router")
    expiry = expiry_in(tmp_path, "ego")
    assert seconds_left(expiry)["ego"] == pytest.approx(12 * DAY_S, abs=600)
    monkeypatch.setattr(authority, "PROCESS_DAYS", 825)
    make_certificates(tmp_path, ["ego"], server="router")
    assert seconds_left(expiry)["ego"] == pytest.approx(825 * DAY_S, abs=600)


@pytest.mark.parametrize(
    ("days", "level", "message"),
    [
        (31, Level.OK, "OK"),
        (29, Level.WARN, "expires in 29.0 days; perception certificates renews it"),
        (-1, Level.ERROR, "expired; perception certificates renews it"),
    ],
)
def test_the_diagnostics_warn_thirty_days_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, level: Level, message: str
) -> None:
    make_certificates(tmp_path, ["ego"], server="router")
    expiry = expiry_in(tmp_path, "ego")
    monkeypatch.setattr(authority, "PROCESS_DAYS", days)
    monkeypatch.setattr(authority, "_CLOCKS_DIFFER", authority.EXPIRES_SOON)
    (tmp_path / "ego.pem").unlink()
    make_certificates(tmp_path, ["ego"], server="router")
    own, ca = expiry.statuses()
    assert (own.level, own.name, own.message) == (level, "certificate: ego", message)
    assert own.values["expires_in_s"] == pytest.approx(days * DAY_S, abs=600)
    assert ca.level == Level.OK


def test_a_certificate_that_went_away_is_an_error_and_no_number(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["ego"], server="router")
    expiry = expiry_in(tmp_path, "ego")
    (tmp_path / "ca.pem").unlink()
    assert seconds_left(expiry).keys() == {"ego"}
    levels = {status.name: status.level for status in expiry.statuses()}
    assert levels == {"certificate: ego": Level.OK, "certificate: ca": Level.ERROR}


def test_they_are_published_beside_the_nodes_own_diagnostics(
    tmp_path: Path, sessions: tuple[zenoh.Session, zenoh.Session]
) -> None:
    make_certificates(tmp_path, ["ego"], server="router")
    heard: queue.Queue[bytes] = queue.Queue()
    with (
        RosNode(sessions[0], RmwZenoh(node="ego")) as ros,
        RosNode(sessions[1], RmwZenoh(node="monitor")) as monitor,
    ):
        monitor.subscribe(topic_of(DIAGNOSTICS_TOPIC, DIAGNOSTICS), lambda received: heard.put(received.cdr))
        states = iter([False])
        check = diagnosed(expiry_in(tmp_path, "ego"), ros, lambda: next(states, True))
        assert not check()
        end = time.monotonic() + 60
        while heard.empty():
            assert check()
            assert time.monotonic() < end
            time.sleep(0.05)
    names = [status.name for status in deserialize(heard.get(), DIAGNOSTICS).status]
    assert names == ["certificate: ego", "certificate: ca"]
