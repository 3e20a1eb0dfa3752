from __future__ import annotations

import subprocess
import sys

import pytest

from perception_nodes.operations.torch_loading import preload_torch


def test_it_imports_nothing_and_the_import_after_it_works() -> None:
    code = (
        "import sys\nfrom perception_nodes.operations.torch_loading import preload_torch\npreload_torch()\n"
        "assert 'torch' not in sys.modules\nimport torch\nassert torch.ones(2).sum() == 2"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_without_torch_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perception_nodes.operations.torch_loading.find_spec", lambda _: None)
    preload_torch()
