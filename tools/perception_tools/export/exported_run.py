"""The exported file of a run: found where it is up to date, and made where it is not. Imports no PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from perception.errors import InputError
from perception_nodes.exported.model_file import SUFFIX, ExportedFile, is_exported, open_exported
from perception_tools.export.precisions import ExportPrecision
from perception_tools.model_metadata import MODEL_FILE, digest_of, stamp_of


def exported_file(run: Path, precision: ExportPrecision = "float32") -> ExportedFile:
    """The exported file of a run, made beside it where there is none of this state of the model.

    It is made in a process of its own, unless this one has imported PyTorch already.

    Args:
        run: A run's folder or model file; or an exported file, which is taken as it is.
        precision: Precision of the block's weights.

    Raises:
        InputError: The model cannot be exported, or the file cannot be used.
    """
    if is_exported(run):
        return open_exported(run)
    file = current_export(run, precision)
    if file is not None:
        return file
    out = _place(run, precision)
    if "torch" in sys.modules:
        from perception_tools.export.run import export_run

        export_run(run, out, precision)
    else:
        _export_apart(run, out, precision)
    return open_exported(out)


def current_export(run: Path, precision: ExportPrecision = "float32") -> ExportedFile | None:
    """The exported file beside a run; None where there is none of this state of the model.

    The state is told by size and time of change of the model's file, as make tells it, so that a node's start does not
    read all of it; where those differ, as after copying, by its hash.
    """
    out = _place(run, precision)
    if not out.exists():
        return None
    try:
        file = open_exported(out)
    except InputError:
        return None  # of an earlier version, or damaged: it is to be written again
    model, source = run / MODEL_FILE if run.is_dir() else run, file.metadata.get("source")
    if not isinstance(source, dict):
        return None
    is_same = source.get("stamp") == stamp_of(model) or source.get("sha256") == digest_of(model)
    return file if is_same else None


def _place(run: Path, precision: ExportPrecision) -> Path:
    return (run if run.is_dir() else run.parent) / "exported" / f"{precision}{SUFFIX}"


def _export_apart(run: Path, out: Path, precision: ExportPrecision) -> None:
    """Exports in another process, whose memory and PyTorch go with it."""
    words = ["export", str(run), str(out), "--precision", precision]
    done = subprocess.run(
        [sys.executable, "-m", "perception_tools.main", *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise InputError(f"{run}: cannot be exported: {said[-1]}; run perception {' '.join(words)} to see why")
