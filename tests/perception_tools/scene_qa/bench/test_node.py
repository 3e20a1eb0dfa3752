import json

import pytest

from perception.errors import InputError
from perception_tools.scene_qa.bench.node import bench_scene_qa, make_answerer, time_node

SMALL = {"source": "random:32x48x4?seed=0", "points": 3000, "dim": 16, "proposals": 4, "questions": 4, "versions": 2}


def test_only_the_first_question_about_a_scene_pays_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_answerer("random:32x48x4?seed=0", 16, 4)
    encoded = []
    encode = model.encode_scene

    def counted(*args):
        encoded.append(0)
        return encode(*args)

    monkeypatch.setattr(model, "encode_scene", counted)
    timing = time_node(model, 3000, questions=4, versions=2, threads=1, block="plain")
    assert (len(encoded), timing.questions) == (2, 4)
    assert timing.first_ms > timing.p99_ms >= timing.p50_ms > 0
    assert timing.cpu_ms > 0


def test_times_are_given_for_every_number_of_threads_and_both_forms_of_the_block(capsys) -> None:
    bench_scene_qa(**SMALL, threads=(1,), json=True)
    said = json.loads(capsys.readouterr().out)
    assert [(t["threads"], t["block"]) for t in said["timings"]] == [(1, "plain"), (1, "folded")]
    assert (said["points"], said["proposals"]) == (3000, 4)
    bench_scene_qa(**SMALL, threads=(1,))
    assert capsys.readouterr().out.splitlines()[0].split()[:2] == ["threads", "block"]


def test_nothing_to_time_is_refused() -> None:
    with pytest.raises(InputError, match="at least one question"):
        bench_scene_qa(**{**SMALL, "questions": 0})
