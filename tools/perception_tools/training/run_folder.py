"""The folder of a training run: which run it holds, how far that is, and which files of it are ours to replace."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from perception.errors import InputError
from perception.files import alone_in, reading, writing
from perception_tools.json_files import write_json
from perception_tools.model_metadata import MODEL_FILE
from perception_tools.training.checkpoints import former_checkpoint
from perception_tools.training.run import RUN_FILE, TrainingRun

RESUME_FILE = "last.ckpt"
FINISHED_FILE = "finished.json"
"""Which model file the finished training left."""
WORK_FILES = (RESUME_FILE, former_checkpoint(Path(RESUME_FILE)).name, MODEL_FILE)
"""What training is there for."""
LOG_FILES = ("events.out.tfevents.*", "hparams.yaml", "csv/version_*/metrics.csv", "csv/version_*/hparams.yaml")
"""What the loggers that write into the run's folder leave there; the others keep runs apart themselves."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run. Every process of a run has one; only the first of them writes.

    Args:
        run: What it should hold.
    """

    run: TrainingRun

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.run.out

    @property
    def model(self) -> Path:
        """The model file."""
        return self.path / MODEL_FILE

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint to go on from; None where there is nothing to go on with."""
        file = self.path / RESUME_FILE
        there = file.exists() or former_checkpoint(file).exists()
        return file if there and not self.run.restart else None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other runs out of the folder, and removes what a killed run left half written."""
        if rank_zero_only.rank != 0:
            yield
            return
        with alone_in(self.path, "a training run"):
            for name in (RUN_FILE, FINISHED_FILE, *WORK_FILES):
                _remove(self.path.glob(f".{name}.*"))
            yield

    def check(self) -> None:
        """Checks that no other run is here, unless it should be replaced.

        What a run left that did not get as far as a checkpoint is no run: nothing is lost with it.

        Raises:
            InputError: There is one; the message names what differs, with both values. Or there are files of which
                nothing says that training wrote them.
        """
        described, work = self.path / RUN_FILE, [name for name in WORK_FILES if (self.path / name).exists()]
        if work and not described.exists():
            raise InputError(
                f"{self.path}: expected {RUN_FILE} beside {work[0]}, found none, so nothing says which run that is of; "
                "choose another --out"
            )
        if work and not self.run.restart:
            self._compare(described)

    def _compare(self, described: Path) -> None:
        with reading(described, "choose another --out, or give --restart to replace the run"):
            found = flat(json.loads(described.read_text(encoding="utf-8")))
        expected = flat(json.loads(json.dumps(self.run.describe())))
        changed = [
            f"{name} {found.get(name)!r}, not {expected.get(name)!r}"
            for name in sorted({*found, *expected})
            if found.get(name) != expected.get(name)
        ]
        if changed:
            raise InputError(
                f"{self.path}: it holds a run with {', '.join(changed)}; "
                "choose another --out, or give --restart to replace it"
            )

    def is_finished(self) -> bool:
        """Whether training ended here with the model that is here.

        Raises:
            InputError: It ended, but the model is gone or is another one.
        """
        finished = self.path / FINISHED_FILE
        if self.run.restart or not finished.exists() or not (self.path / RUN_FILE).exists():
            return False
        cure = "give --restart to train again, or choose another --out"
        with reading(finished, cure):
            recorded = json.loads(finished.read_text(encoding="utf-8"))["sha256"]
        if not self.model.exists():
            raise InputError(f"{self.model}: training has ended, but the model that it left is gone; {cure}")
        if hash_file(self.model) != recorded:
            raise InputError(f"{self.model}: expected the model that training ended with, found another; {cure}")
        return True

    def former_files(self) -> list[Path]:
        """Files of the run that this one replaces; whatever else is in the folder is not ours to delete."""
        if self.checkpoint is not None or not (self.path / RUN_FILE).exists():
            return []
        patterns = (*WORK_FILES, FINISHED_FILE, *LOG_FILES)
        return [path for pattern in patterns for path in sorted(self.path.glob(pattern))]

    def begin(self, former: Sequence[Path]) -> None:
        """Deletes files of the run that was here, and describes the new one.

        Args:
            former: From `former_files`, called before any logger was opened.
        """
        _remove(former)
        write_json(self.path / RUN_FILE, self.run.describe())

    def finish(self) -> None:
        """Notes that training has ended, and with which model."""
        write_json(self.path / FINISHED_FILE, {"model": self.model.name, "sha256": hash_file(self.model)})


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        with writing(file):
            file.unlink(missing_ok=True)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings by dotted names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
