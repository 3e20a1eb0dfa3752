from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.json_files import write_json


def test_json_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"min_fde": 1.5})

    def full_disk(_path: Path, text: str) -> None:
        with _path.open("w") as file:
            file.write(text[: len(text) // 2])
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full_disk)
        with pytest.raises(InputError, match=r"metrics\.json: cannot be written \(No space"):
            write_json(path, {"min_fde": 2.5})
    assert json.loads(path.read_text()) == {"min_fde": 1.5}
    write_json(path, {"min_fde": 3.5})
    assert json.loads(path.read_text()) == {"min_fde": 3.5}
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]
