"""The page for contributors, followed to the letter: a new task is the files that it shows and one line in `TASKS`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = CHECKOUT / ".github" / "CONTRIBUTING.md"
SOURCES = ("perception", "datasets", "nodes", "tools")
FILE = re.compile(r"^`(?P<path>[\w/]+\.py)`\n+```python\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^`(?P<path>[\w/]+\.py)`, in `TASKS`:\n+```text\n(?P<line>[^\n]*)\n```$", re.MULTILINE)

TRY = """
import json, subprocess, sys
from pathlib import Path
from perception_tools.main import main

def run(*words):
    assert main(list(words)) == 0, words

run("train", "digits/patches-llama", "--data", "data", "--out", "run", "--passes", "5", "--dim", "16",
    "--source", "random:16x24x2?seed=0", "--accelerator", "cpu")
run("evaluate", "run", "--data", "data", "--out", "evaluated")
run("block", "fold", "run", "folded", "--data", "data", "--precisions", "float32", "int8")
run("bench", "model", "run", "--data", "data", "--repeat", "1", "--json", "bench.json")

from perception_datasets.digits import read_digits
from perception_nodes.block.client import RemoteBlock
from perception_nodes.block.oip_client import OipBlocks
from perception_tools.tasks import task_of_run

model = task_of_run(Path("run")).load_model(Path("run")).model
images = read_digits(Path("data"), "val", 20).images
serve = [sys.executable, "-m", "perception_tools.main", "serve", "block", "folded/float32", "--oip", "0"]
with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as service:
    try:
        blocks = OipBlocks([f"127.0.0.1:{json.loads(service.stdout.readline())['oip']}"])
        remote = model.with_block(RemoteBlock(blocks, "digits-patches-llama", timeout_s=20))
        difference = abs(remote.classify(images) - model.classify(images)).max()
        blocks.close()
    finally:
        service.terminate()
print(json.dumps({"served": float(difference)}))
"""


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tree(page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout's sources with what the page adds."""
    root = tmp_path_factory.mktemp("contributed")
    for source in SOURCES:
        shutil.copytree(CHECKOUT / source, root / source, ignore=shutil.ignore_patterns("__pycache__"))
    for shown in FILE.finditer(page):
        path = root / shown["path"]
        assert not path.exists(), f"{shown['path']} is there already"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(shown["text"], encoding="utf-8")
    (line,) = LINE.finditer(page)
    tasks = root / line["path"]
    before, opening, rest = tasks.read_text(encoding="utf-8").partition("TASKS = (\n")
    tasks.write_text(before + opening + line["line"] + "\n" + rest, encoding="utf-8")
    return root


def test_a_task_is_its_own_files_and_one_line_of_a_shared_one(tree: Path, page: str) -> None:
    changed = {
        path.relative_to(tree).as_posix()
        for source in SOURCES
        for path in (tree / source).rglob("*.py")
        if not (CHECKOUT / path.relative_to(tree)).exists()
        or path.read_bytes() != (CHECKOUT / path.relative_to(tree)).read_bytes()
    }
    named = {shown["path"] for shown in FILE.finditer(page)}
    assert changed == named | {"tools/perception_tools/tasks.py"}
    new = {Path(path).parent.as_posix() for path in named}
    assert sum(path.startswith("tools/") for path in new) == 1, "one folder in the tools"
    assert max(len(shown["text"].splitlines()) for shown in FILE.finditer(page)) < 110, "a few short files"


def test_the_new_task_trains_evaluates_folds_serves_and_is_timed(tree: Path, tmp_path: Path) -> None:
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    (tmp_path / "data").mkdir()
    for split, rows in (("train", slice(0, 1400)), ("val", slice(1400, None))):
        images, labels = digits.images[rows] / 16, digits.target[rows]
        np.savez(tmp_path / "data" / f"{split}.npz", images=images, labels=labels)
    packages = [str(tree), *(str(tree / source) for source in SOURCES[1:])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(packages)}
    finished = subprocess.run(
        [sys.executable, "-c", TRY], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    assert json.loads((tmp_path / "evaluated" / "metrics.json").read_text())["accuracy"] > 0.5
    rows = {
        row["precision"]: row for row in json.loads((tmp_path / "folded" / "precisions.json").read_text())["precisions"]
    }
    assert rows["float32"]["relative_error"] < 1e-5
    assert rows["float32"]["accuracy"] == rows["unfolded"]["accuracy"]
    timed = json.loads((tmp_path / "bench.json").read_text())["forms"]
    assert {form["form"] for form in timed} >= {"trained", "float32", "int8"}
    assert json.loads(finished.stdout.splitlines()[-1])["served"] < 1e-4
