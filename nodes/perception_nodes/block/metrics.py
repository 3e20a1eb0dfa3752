"""A block service's counts for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from perception_nodes.block.service import BlockService

_MEANINGS = {
    "ticks": "Passes through the block's tail",
    "requests": "Requests answered",
    "rows": "Rows that passed the tail",
    "failed": "Requests whose computation raised an error",
    "expired": "Requests whose deadline had passed before they were computed",
    "rejected": "Requests that found their queue full",
}


class BlockServiceCollector(Collector):
    """Reads the counts when somebody asks, so that serving does not pay for it."""

    def __init__(self, service: BlockService) -> None:
        self._service = service

    def collect(self) -> Iterator[CounterMetricFamily]:
        """One counter for each."""
        counts = self._service.counts
        for name, meaning in _MEANINGS.items():
            yield CounterMetricFamily(f"perception_block_{name}", meaning, value=getattr(counts, name))
