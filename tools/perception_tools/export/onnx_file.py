"""Writes a graph with its metadata; the block's large tensors go into a file that models around it share."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perception.files import writing
from perception_nodes.exported.model_file import FORMAT, KEY

if TYPE_CHECKING:
    import onnx

PAGE_BYTES = 4096
"""Tensors begin at a page, so that processes can map them into memory as they lie."""
_LARGE_BYTES = 4096


def write_onnx(proto: onnx.ModelProto, path: Path, metadata: Mapping[str, Any]) -> list[Path]:
    """Writes OUT.onnx and, where the model has a block, block-HASH.weights beside it.

    Args:
        proto: The graph; tensors whose names begin with `tail.` are the block's. Its tensors leave it.
        path: The file.
        metadata: What a user of the file must know, as JSON.

    Returns:
        Both files, the weights first. A file of weights with the same content is the same for every model around the
        block in the same precision.
    """
    import onnx

    entry = proto.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps({"format": FORMAT} | dict(metadata))
    proto.producer_name = "frozen-perception"
    written = _part_weights(proto, path.parent)
    path.write_bytes(proto.SerializeToString(deterministic=True))
    onnx.checker.check_model(str(path))
    return [*written, path]


@contextmanager
def files_beside(out: Path, proto: onnx.ModelProto, metadata: Mapping[str, Any]) -> Iterator[list[Path]]:
    """Gives the `with` block the files of `write_onnx` in another folder; if it ends well, they move to where OUT is.

    Raises:
        InputError: They cannot be written there.
    """
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            written = write_onnx(proto, Path(folder) / out.name, metadata)
            yield written
            for file in written:
                os.replace(file, out.parent / file.name)


def graph_hash(proto: onnx.ModelProto) -> str:
    """SHA-256 of a graph's operators, attributes and shapes, without its weights and the names of what lies between."""
    digest = hashlib.sha256()
    names: dict[str, str] = {value.name: value.name for value in (*proto.graph.input, *proto.graph.output)}
    for tensor in proto.graph.initializer:
        names[tensor.name] = f"weight{tuple(tensor.dims)}:{tensor.data_type}"
    for number, node in enumerate(proto.graph.node):
        for place, name in enumerate(node.output):
            names.setdefault(name, f"{number}.{place}")
        attributes = sorted(a.SerializeToString(deterministic=True) for a in node.attribute)
        words = [node.domain, node.op_type, *(names.get(name, "") for name in (*node.input, *node.output))]
        digest.update("\n".join(words).encode() + b"\0" + b"\0".join(attributes))
    for value in (*proto.graph.input, *proto.graph.output):
        digest.update(value.SerializeToString(deterministic=True))
    return digest.hexdigest()


def _part_weights(proto: onnx.ModelProto, folder: Path) -> list[Path]:
    from onnx import TensorProto, numpy_helper

    content, places = bytearray(), {}
    tensors = sorted((t for t in proto.graph.initializer if t.name.startswith("tail.")), key=lambda t: t.name)
    for tensor in tensors:
        raw = tensor.raw_data or numpy_helper.to_array(tensor).tobytes()
        if len(raw) < _LARGE_BYTES:
            continue
        content += bytes(-len(content) % PAGE_BYTES)
        places[tensor.name] = (len(content), len(raw))
        content += raw
    if not places:
        return []
    file = folder / f"block-{hashlib.sha256(content).hexdigest()[:16]}.weights"
    file.write_bytes(content)
    for tensor in tensors:
        if tensor.name in places:
            for field in ("raw_data", "float_data", "int32_data"):
                tensor.ClearField(field)
            tensor.data_location = TensorProto.EXTERNAL
            offset, length = places[tensor.name]
            for key, value in (("location", file.name), ("offset", str(offset)), ("length", str(length))):
                entry = tensor.external_data.add()
                entry.key, entry.value = key, value
    return [file]
