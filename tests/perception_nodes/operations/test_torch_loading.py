from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from perception_nodes.operations.torch_loading import preload_torch, without_collections


def test_it_imports_nothing_and_the_import_after_it_works() -> None:
    code = (
        "import sys\nfrom perception_nodes.operations.torch_loading import preload_torch\npreload_torch()\n"
        "assert 'torch' not in sys.modules\nimport torch\nassert torch.ones(2).sum() == 2"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_without_torch_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perception_nodes.operations.torch_loading.find_spec", lambda _: None)
    preload_torch()


def test_nothing_is_collected_while_something_is_loaded_and_what_is_there_then_never() -> None:
    passes: list[str] = []

    def note(phase: str, _: dict) -> None:
        passes.append(phase)

    before = gc.get_freeze_count()
    gc.callbacks.append(note)
    try:
        with without_collections():
            loaded = [[number] for number in range(50_000)]  # several collections' worth
        assert passes == []
        assert gc.isenabled()
        assert gc.get_freeze_count() >= before + len(loaded)
    finally:
        gc.callbacks.remove(note)
        gc.unfreeze()
