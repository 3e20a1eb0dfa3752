"""Prometheus metrics of a block service."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from perception_nodes.block.service import BlockService

_METRICS = {
    "ticks": ("batches", "Passes through the block's tail"),
    "requests": ("requests", "Requests answered"),
    "rows": ("rows", "Rows of their answers"),
    "failed": ("failed", "Requests whose computation raised an error"),
    "expired": ("expired", "Requests whose deadline had passed before they were computed"),
    "rejected": ("rejected", "Requests that found their queue full"),
}
"""Name of a metric → the field of `ServiceCounts`, and its help text."""


class BlockServiceCollector(Collector):
    """Reads the counts when they are scraped, so that serving does not pay for it."""

    def __init__(self, service: BlockService) -> None:
        self._service = service

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yields one counter for each count."""
        counts = self._service.counts
        for name, (count, text) in _METRICS.items():
            yield CounterMetricFamily(f"perception_block_{name}", text, value=getattr(counts, count))
