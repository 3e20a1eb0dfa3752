"""An exported model's file: what it says of itself, and whether it may be opened.

A model's large tensors may lie in a file of their own, which several models share. A file from elsewhere could name any
other file there (CVE-2026-34446 and its kin), so every name is looked at before a runtime opens it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from perception.errors import InputError, first_of
from perception.files import reading

if TYPE_CHECKING:
    import onnx

FORMAT = "frozen-perception onnx 1"
SUFFIX = ".onnx"
KEY = "frozen_perception"
"""Key of the metadata that holds everything as JSON."""
MAX_GRAPH_BYTES = 2 << 30
"""Protobuf's own limit; larger weights lie in files of their own."""
_CURE = "export the model again"


@dataclass(frozen=True)
class ExportedFile:
    """An exported model's file that may be opened.

    Attributes:
        path: The file.
        metadata: What it was written with: `task`, `name`, `recipe`, `precision`, `inputs` and more.
        weights: The files beside it that hold its large tensors.
    """

    path: Path
    metadata: dict[str, Any]
    weights: tuple[Path, ...]

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return str(self.metadata["name"])

    @property
    def model_id(self) -> str:
        """Which model answers are from: the recipe, the first digits of the trained file's hash, the precision."""
        return str(self.metadata.get("model_id", self.name))


def is_exported(path: Path) -> bool:
    """Whether a path is that of an exported model, by its ending."""
    return path.suffix == SUFFIX


def open_exported(path: Path) -> ExportedFile:
    """Reads what an exported model says of itself.

    Raises:
        InputError: It is none of ours, damaged, or names a file that is not beside it.
    """
    import onnx

    with reading(path, _CURE):
        if path.stat().st_size > MAX_GRAPH_BYTES:
            raise InputError(f"{path}: expected at most {MAX_GRAPH_BYTES >> 30} GB; {_CURE}")
        try:
            proto = onnx.load(path, load_external_data=False)
        except Exception as error:  # protobuf's own errors have no common kind
            raise InputError(f"{path}: expected an ONNX file, found something else ({error}); {_CURE}") from error
        texts = {entry.key: entry.value for entry in proto.metadata_props}
        metadata = json.loads(texts.get(KEY, "{}"))
        if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
            raise InputError(f"{path}: expected a file of format {FORMAT!r}, found another; {_CURE}")
        return ExportedFile(path, metadata, _weights_of(path, proto))


def _weights_of(path: Path, proto: onnx.ModelProto) -> tuple[Path, ...]:
    """The files that a model names, all of them plain files in its own folder.

    Raises:
        InputError: One lies elsewhere, is a link, is missing or too short.
    """
    from onnx import TensorProto

    ends: dict[str, int] = {}
    for tensor in _tensors_of(proto.graph):
        if tensor.data_location == TensorProto.EXTERNAL:
            entries = {entry.key: entry.value for entry in tensor.external_data}
            place = entries.get("location", "")
            end = int(entries.get("offset", 0)) + int(entries.get("length", 0))
            ends[place] = max(ends.get(place, 0), end)
    found = []
    for place, end in ends.items():
        if not place or PurePosixPath(place).name != place or place in (".", "..") or os.sep in place or "\\" in place:
            raise InputError(f"{path}: expected the names of files beside it, it names {place!r}; {_CURE}")
        file = path.parent / place
        if file.is_symlink() or not file.is_file():
            raise InputError(f"{file}: expected a plain file with the weights of {path.name}, found none; copy it too")
        if file.stat().st_size < end:
            raise InputError(f"{file}: expected at least {end:,} bytes, found {file.stat().st_size:,}; copy it again")
        found.append(file)
    return tuple(found)


def _tensors_of(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    """Every tensor of a graph, those in constants and in graphs inside too."""
    tensors = list(graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            tensors += [attribute.t, *attribute.tensors]
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.initializer:
                    tensors += _tensors_of(inner)
    return tensors


def expect_inputs(file: ExportedFile, given: set[str], expected: set[str]) -> None:
    """Raises InputError if a batch lacks an input of the graph."""
    missing = sorted(expected - given)
    if missing:
        raise InputError(f"{file.path}: its graph reads {first_of(missing)}, which its input does not give; {_CURE}")
