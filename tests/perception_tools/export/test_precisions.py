"""Precisions of nodes and of exported files."""

from __future__ import annotations

from typing import get_args

import pytest

from perception.errors import InputError
from perception_tools.export.precisions import EXPORTED, ExportPrecision, exported_precision


def test_each_precision_of_a_node_has_one_of_a_file_or_is_refused() -> None:
    assert {exported_precision(name) for name in EXPORTED} <= {*get_args(ExportPrecision)}
    with pytest.raises(InputError, match="precision int8: exported models have float32, bfloat16, int8_dynamic"):
        exported_precision("int8")
