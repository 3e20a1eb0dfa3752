from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

from perception.errors import InputError
from perception_tools.model_files import write_model
from perception_tools.model_metadata import MODEL_FILE, read_metadata


def test_metadata_are_those_that_were_written_with_the_model(tmp_path: Path) -> None:
    write_model(tmp_path / MODEL_FILE, nn.Linear(2, 1), "a format", {"training": {"history_steps": 5}})
    for place in (tmp_path, tmp_path / MODEL_FILE):
        assert read_metadata(place, "a format")["training"] == {"history_steps": 5}
    with pytest.raises(InputError, match="expected a file of format 'another'"):
        read_metadata(tmp_path, "another")
    with pytest.raises(InputError, match="found none; train one first"):
        read_metadata(tmp_path / "missing", "a format")
    (tmp_path / MODEL_FILE).write_bytes(b"rubbish")
    with pytest.raises(InputError, match=MODEL_FILE):
        read_metadata(tmp_path, "a format")


def test_an_exported_model_is_no_run_and_the_cure_is_named(tmp_path: Path) -> None:
    exported = tmp_path / "model.onnx"
    exported.write_bytes(b"graph")
    with pytest.raises(InputError, match="got an exported model; give the run that it was exported from"):
        read_metadata(exported, "a format")


def test_a_forecasting_node_opens_without_torch() -> None:
    code = "import sys\nimport perception_tools.forecasting.node\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
