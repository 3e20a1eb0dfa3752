from __future__ import annotations

from types import SimpleNamespace

from prometheus_client import CollectorRegistry, generate_latest

from perception_nodes.block.metrics import BlockServiceCollector
from perception_nodes.block.service import ServiceCounts


def test_every_count_is_a_counter_and_is_read_when_asked() -> None:
    service, registry = SimpleNamespace(counts=ServiceCounts()), CollectorRegistry()
    registry.register(BlockServiceCollector(service))  # pyright: ignore[reportArgumentType]
    service.counts = ServiceCounts(batches=2, requests=3, rows=40, failed=1, expired=5, rejected=6)
    text = generate_latest(registry).decode()
    for name, value in vars(service.counts).items():
        assert f"perception_block_{name}_total {value}.0" in text
