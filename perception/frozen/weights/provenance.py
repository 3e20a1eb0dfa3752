"""Says in words which model a block is from."""

from __future__ import annotations

from perception.frozen.weights import smollm2


def provenance(source: str | None) -> str:
    """Returns the block's model, revision, quantisation and licence in words, for reports.

    Args:
        source: URI of the block, as `LoadedBlocks.source` and a model file's metadata have it; None without a block.
    """
    if source is None:
        return "no language block"
    place, _, layers = source.partition("#")
    which = f"block {layers}" if layers.isdigit() else f"blocks {layers}" if layers else "last block"
    if place == smollm2.NAME:
        return f"{which} of {smollm2.PROVENANCE}"
    if place.startswith(f"random:{smollm2.NAME}"):
        return f"seeded random weights in the shape of {which} of {smollm2.MODEL} ({source})"
    if place.startswith("random:"):
        return f"seeded random weights ({source})"
    return f"{which} of {place}"
