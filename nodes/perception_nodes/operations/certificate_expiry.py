"""How long the certificates of a process are still valid: as metrics, and as a warning in the diagnostics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from perception.errors import InputError
from perception_nodes.operations.deployment import ROUTER
from perception_nodes.operations.diagnostics import (
    DIAGNOSTICS,
    DIAGNOSTICS_TOPIC,
    Level,
    Status,
    diagnostic_array,
)
from perception_nodes.ros.messages import serialize, topic_of
from perception_nodes.ros.topics import RosNode
from perception_nodes.security.identity import AUTHORITY, EXPIRES_SOON, Identity, read_certificates

DIAGNOSE_S = 1.0
"""Seconds between two diagnostics, as of the node's own."""


class CertificateExpiry(Collector):
    """Reads the certificates of a process, its own and those it depends on, whenever it is asked.

    A renewed one counts as soon as it is there: a client of the router takes it when it next connects, which is at the
    latest when the former one expires.

    Args:
        identity: The process's files.
        name: Name of the process.
    """

    def __init__(self, identity: Identity, name: str) -> None:
        self._files = {name: identity.certificate, AUTHORITY: identity.ca}
        router = identity.certificate.with_name(f"{ROUTER}.pem")
        if router.exists():  # the router publishes nothing, so the processes beside it watch its certificate too
            self._files[ROUTER] = router

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yields the gauge; a certificate that cannot be read is left out."""
        gauge = GaugeMetricFamily(
            "perception_certificate_expires_in_seconds",
            "Seconds until a certificate expires; below 0 it has.",
            labels=["certificate"],
        )
        for name, seconds in self._seconds_left().items():
            gauge.add_metric([name], seconds)
        yield gauge

    def statuses(self) -> list[Status]:
        """Returns the content of the diagnostics: a warning 30 days before a certificate expires."""
        left = self._seconds_left()
        statuses = [_status(name, seconds) for name, seconds in left.items()]
        missing = [Status(Level.ERROR, _title(name), "cannot be read") for name in self._files.keys() - left.keys()]
        return statuses + missing

    def _seconds_left(self) -> Mapping[str, float]:
        left = {}
        for name, path in self._files.items():
            if (ends := _end(path)) is not None:
                left[name] = (ends - datetime.now(UTC)).total_seconds()
        return left


def diagnosed(expiry: CertificateExpiry, ros: RosNode, works: Callable[[], bool]) -> Callable[[], bool]:
    """Returns the same check, which also publishes the diagnostics of the certificates once a second.

    Args:
        expiry: What to publish.
        ros: The process's ROS node.
        works: Whether the process makes progress; the check is called regularly by its main thread.
    """
    publisher, last = ros.publisher(topic_of(DIAGNOSTICS_TOPIC, DIAGNOSTICS)), float("-inf")

    def check() -> bool:
        nonlocal last
        if time.monotonic() - last >= DIAGNOSE_S:
            last = time.monotonic()
            publisher.put(serialize(diagnostic_array(time.time_ns(), expiry.statuses()), DIAGNOSTICS))
        return works()

    return check


def _end(path: Path) -> datetime | None:
    try:
        return read_certificates(path)[0].not_valid_after_utc
    except InputError:
        return None


def _status(name: str, seconds: float) -> Status:
    days = seconds / 86_400
    values = {"expires_in_s": seconds}
    if seconds <= 0:
        return Status(Level.ERROR, _title(name), "expired; perception certificates renews it", values)
    if seconds < EXPIRES_SOON.total_seconds():
        message = f"expires in {days:.1f} days; perception certificates renews it"
        return Status(Level.WARN, _title(name), message, values)
    return Status(Level.OK, _title(name), "OK", values)


def _title(name: str) -> str:
    return f"certificate: {name}"
