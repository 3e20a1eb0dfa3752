from __future__ import annotations

import errno
import os
import resource
import signal
from pathlib import Path

import pytest
import torch

from perception.errors import InputError
from perception_tools.training import checkpoints
from perception_tools.training.checkpoints import WholeCheckpoints, former_checkpoint


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A checkpoint of step 2, and the one before it of step 1."""
    path = tmp_path / "last.ckpt"
    for step in (1, 2):
        WholeCheckpoints().save_checkpoint({"step": step, "weights": torch.full((100,), float(step))}, path)
    return path


def step_of(path: Path) -> int:
    return WholeCheckpoints().load_checkpoint(path)["step"]


def test_the_one_before_is_kept_and_nothing_else(written: Path) -> None:
    assert sorted(path.name for path in written.parent.iterdir()) == ["last-former.ckpt", "last.ckpt"]
    assert (step_of(written), step_of(former_checkpoint(written))) == (2, 1)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive at all", None])
def test_a_missing_or_damaged_checkpoint_gives_way_to_the_one_before(
    written: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    written.unlink() if content is None else written.write_bytes(content)
    assert step_of(written) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"{written}: no such file; " if content is None else f"{written}: it cannot be parsed (")
    assert said.endswith(f"; training goes on from the checkpoint before it, {former_checkpoint(written)}\n")
    assert "--restart" not in said


def test_a_torso_gives_way_to_the_one_before(written: Path) -> None:
    whole = written.read_bytes()
    for length in (1, 100, len(whole) // 2, len(whole) - 1):
        written.write_bytes(whole[:length])
        assert step_of(written) == 1


def test_where_neither_can_be_read_both_are_named(written: Path) -> None:
    written.write_bytes(b"")
    former_checkpoint(written).write_bytes(b"nonsense")
    with pytest.raises(
        InputError, match=r"last\.ckpt: it cannot be parsed \([^;]*; and .*last-former\.ckpt: .*--restart"
    ):
        step_of(written)


def test_a_checkpoint_cannot_hold_code(written: Path) -> None:
    torch.save({"step": os.system}, written)
    assert step_of(written) == 1


@pytest.mark.parametrize("failing", ["write_bytes", "replace"])
def test_a_full_disk_leaves_both_as_they_were(written: Path, failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, failing, fail)
    with pytest.raises(InputError, match=r"last\.ckpt: cannot be written \(No space left on device\); free some space"):
        WholeCheckpoints().save_checkpoint({"step": 3}, written)
    monkeypatch.undo()
    assert sorted(path.name for path in written.parent.iterdir()) == ["last-former.ckpt", "last.ckpt"]
    assert (step_of(written), step_of(former_checkpoint(written))) == (2, 1)


def test_a_limit_on_the_size_of_files_is_said_in_a_sentence(written: Path) -> None:
    sentence = rf"{written}: cannot be written \(File too large\); free some space, or choose another disk"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python has it, unless somebody has changed that
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
        with pytest.raises(InputError, match=sentence):
            WholeCheckpoints().save_checkpoint({"weights": torch.zeros(1_000_000)}, written)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, former)
    assert sorted(path.name for path in written.parent.iterdir()) == ["last-former.ckpt", "last.ckpt"]
    assert step_of(written) == 2


def test_a_process_killed_between_the_two_renames_leaves_a_checkpoint(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    class Killed(type(written)):
        def replace(self, target: Path) -> None:
            super().replace(target)
            raise KilledError

    monkeypatch.setattr(checkpoints, "Path", Killed)
    with pytest.raises(KilledError):
        WholeCheckpoints().save_checkpoint({"step": 3}, written)
    assert step_of(written) == 2
