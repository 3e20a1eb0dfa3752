from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from perception.errors import InputError
from perception_tools.analysis.filtering import analyse
from perception_tools.analysis.filtering.analyse import analyse_filtering
from perception_tools.analysis.filtering.views import Asked, TokenView, TokenViews
from perception_tools.tasks import Task, all_tasks

TASK = next(task for task in all_tasks() if task.token_views)
RECIPES = list(TASK.recipes)[:2]


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict]:
    """Analyses made-up views of two runs."""

    def load(_task: Task, run: Path) -> Any:
        name = RECIPES[int(run.name)]
        return SimpleNamespace(name=name, recipe=TASK.recipes[name], model=torch.nn.Linear(1, 1))

    def run(views: TokenViews) -> dict:
        monkeypatch.setattr(Task, "load_model", load)
        monkeypatch.setattr(analyse, "resolve", lambda _reference: lambda _models, _asked: views)
        (tmp_path / "data").mkdir()
        runs = [tmp_path / "0", tmp_path / "1"]
        return analyse_filtering(TASK, runs, Asked(tmp_path / "data"), tmp_path / "out", pictures=1)

    return run


def test_the_first_run_stands_at_the_top_and_the_other_beside_it(
    make_view: Callable[..., TokenView],
    look: Callable[..., dict],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    records = [(make_view(f"r{seed}", seed=seed), make_view(f"r{seed}", seed=seed, plain=True)) for seed in range(3)]
    numbers = look(TokenViews("clouds", records, rules=("A rule.",)))
    assert json.loads((tmp_path / "out" / "filtering.json").read_text()) == numbers
    assert (numbers["name"], list(numbers["others"])) == (RECIPES[0], RECIPES[1:])
    assert numbers["clouds"] == numbers["records"] == 3
    assert numbers["rules"] == ["A rule."]
    rows = pq.read_table(tmp_path / "out" / "records.parquet").to_pylist()
    mine = [r["iou"] for r in rows if (r["run"], r["stage"], r["kind"]) == (RECIPES[0], "encoder", "magnitude")]
    assert len(rows) == 3 * (7 + 3)
    assert sum(mine) / 3 == pytest.approx(numbers["miou"]["encoder"]["magnitude"])
    assert "A rule." in (tmp_path / "out" / "filtering.html").read_text()
    assert "3 clouds" in capsys.readouterr().out


def test_without_targets_there_is_a_page_and_no_table_of_records(
    make_view: Callable[..., TokenView], look: Callable[..., dict], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = look(TokenViews("clouds", [(make_view(target=None), make_view(target=None, plain=True))]))
    assert numbers["miou"] == {}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["filtering.html", "filtering.json"]
    assert "1 clouds, none of which has a target" in capsys.readouterr().out


def test_no_record_at_all_is_an_error_with_the_reasons(look: Callable[..., dict]) -> None:
    views = TokenViews("clouds", [])
    views.left_out["they have no mask"] += 2
    with pytest.raises(InputError, match=r"expected clouds to look at, found none(.|\n)*2 not looked at: they have no"):
        look(views)
