from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError

pytest.importorskip("transformers")


def test_every_way_is_timed_against_the_first_in_the_same_rounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from perception_tools.image_text.bench.image_text import bench_image_text

    out = tmp_path / "new" / "bench.json"
    timings = bench_image_text(out, size="micro", block="random:32x48x4", batch=2, captions=5, pairs=2, repeat=2)
    written = json.loads(out.read_text())
    assert [(t["kind"], t["way"]) for t in written["timings"]] == [
        ("training", "without a block"),
        ("training", "with the block"),
        ("training", "with the block in bfloat16"),
        ("ranking", "METER's loop, towers for each pair"),
        ("ranking", "the same, pair by pair"),
        ("ranking", "ours"),
        ("ranking", "transformers, BridgeTower's fusion"),
        ("ranking", "transformers, ViLT's encoder"),
    ]
    for timing in timings:
        assert timing.batch == (2 if timing.kind == "training" else 5)
        assert timing.records_per_s == pytest.approx(timing.batch / timing.seconds)
        assert timing.memory_mb is not None
        assert timing.memory_mb > 0
    said = capsys.readouterr().out
    assert float(said.partition("METER's loop and ours: ")[2].split()[0]) < 1e-5


def test_captions_are_as_long_as_flickrs_and_the_same_each_time() -> None:
    from perception_tools.image_text.bench.image_text import make_captions

    captions = make_captions(500)
    assert captions == make_captions(500)
    assert np.mean([len(text.split()) for text in captions]) == pytest.approx(12, abs=0.6)


@pytest.mark.parametrize(("options", "message"), [({"captions": 0}, "at least 1"), ({"size": "huge"}, "--size huge")])
def test_what_cannot_be_timed_is_named(options: dict, message: str) -> None:
    from perception_tools.image_text.bench.image_text import bench_image_text

    with pytest.raises(InputError, match=message):
        bench_image_text(**options)
