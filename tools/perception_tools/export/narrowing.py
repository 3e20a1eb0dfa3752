"""Narrower weights in an exported graph: the block's tail, of which a file mostly consists."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32
from torch import nn

from perception.errors import InputError
from perception.frozen.folded import TAIL_LINEARS, BlockTail, FoldedBlock
from perception_tools.export.graph import quietly
from perception_tools.export.onnx_file import write_onnx
from perception_tools.export.precisions import ExportPrecision

if TYPE_CHECKING:
    import onnx

GROUP = 32
"""Weights that share a scale in int4."""


def tail_weights(model: nn.Module) -> dict[str, Float32[np.ndarray, "dim_in dim_out"]]:
    """The weights of a folded block's tail, as graphs hold them; none where there is no folded block."""
    block = getattr(model, "block", None)
    if not isinstance(block, FoldedBlock):
        return {}
    return weights_of(block.tail)


def weights_of(tail: BlockTail) -> dict[str, Float32[np.ndarray, "dim_in dim_out"]]:
    """The weights of a tail, as graphs hold them."""
    linears = {name: getattr(tail.block, name) for name in TAIL_LINEARS if hasattr(tail.block, name)}
    return {name: linear.weight.detach().cpu().numpy().T for name, linear in linears.items()}


def name_tail(proto: onnx.ModelProto, weights: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Gives the tail's weights in a graph the names `tail.NAME`, and returns those.

    Raises:
        InputError: The graph does not hold one of them.
    """
    from onnx import numpy_helper

    named: dict[str, str] = {}
    for name, weight in weights.items():
        alike = [tensor for tensor in proto.graph.initializer if tuple(tensor.dims) == weight.shape]
        same = next(
            (t for t in alike if t.name not in named and np.array_equal(numpy_helper.to_array(t), weight)), None
        )
        if same is None:
            raise InputError(f"export: expected the weight {name} of the block's tail in the graph, did not find it")
        named[same.name] = f"tail.{name}"
        same.name = f"tail.{name}"
    for node in proto.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = named.get(name, name)
    return tuple(named.values())


def narrow(proto: onnx.ModelProto, weights: Collection[str], precision: ExportPrecision) -> onnx.ModelProto:
    """The graph with some weights in another precision, in standard operators only.

    Args:
        proto: The graph; it may be changed.
        weights: Names of the weights.
        precision: Precision that they get.

    Raises:
        InputError: There is no weight to narrow.
    """
    if precision == "float32":
        return proto
    expect_narrowable(weights, precision)
    if precision in ("bf16", "fp16"):
        return _stored_as(proto, weights, precision)
    products = {node.name for node in proto.graph.node if not set(weights).isdisjoint(node.input)}
    with quietly():
        return _int8(proto, products) if precision == "int8" else _int4(proto, products)


def write_narrowed(
    proto: onnx.ModelProto, weights: Collection[str], precision: ExportPrecision, folder: Path, metadata: Mapping
) -> tuple[Path, float]:
    """Writes the graph in a precision, and leaves it as it is; see `narrow` and `write_onnx`.

    Args:
        proto: The graph.
        weights: Names of the weights to narrow.
        precision: Precision that they get, and the name of the file.
        folder: Where to write.
        metadata: What a user of the file must know, as JSON.

    Returns:
        The file, and its megabytes with those of its weights.
    """
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    files = write_onnx(narrow(copy, weights, precision), folder / f"{precision}.onnx", metadata)
    return files[-1], sum(file.stat().st_size for file in files) / 1e6


def expect_narrowable(weights: Collection[str], precision: ExportPrecision) -> None:
    """Raises InputError if a narrower precision is asked for where there is no weight to narrow."""
    if precision != "float32" and not weights:
        raise InputError(
            f"--precision {precision}: it is about the weights of one language block, which this model does not have; "
            "leave the precision out"
        )


def _stored_as(proto: onnx.ModelProto, weights: Collection[str], precision: str) -> onnx.ModelProto:
    from onnx import TensorProto, helper, numpy_helper

    kind = TensorProto.BFLOAT16 if precision == "bf16" else TensorProto.FLOAT16
    casts = []
    for tensor in [tensor for tensor in proto.graph.initializer if tensor.name in weights]:
        values, stored = numpy_helper.to_array(tensor), f"{tensor.name}.{precision}"
        narrow_values = values.astype(helper.tensor_dtype_to_np_dtype(kind))
        casts.append(helper.make_node("Cast", [stored], [tensor.name], to=TensorProto.FLOAT))
        tensor.CopyFrom(numpy_helper.from_array(narrow_values, stored))
    for node in reversed(casts):
        proto.graph.node.insert(0, node)
    return proto


def _int8(proto: onnx.ModelProto, products: set[str]) -> onnx.ModelProto:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "narrow.onnx"
        quantize_dynamic(
            proto,
            path,
            nodes_to_quantize=sorted(products),
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
        return onnx.load(path)


def _int4(proto: onnx.ModelProto, products: set[str]) -> onnx.ModelProto:
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer
    from onnxruntime.quantization.quant_utils import QuantFormat

    config = DefaultWeightOnlyQuantConfig(block_size=GROUP, is_symmetric=True, quant_format=QuantFormat.QDQ)
    others = [node.name for node in proto.graph.node if node.op_type == "MatMul" and node.name not in products]
    quantizer = MatMulNBitsQuantizer(proto, algo_config=config, nodes_to_exclude=others)
    quantizer.process()
    return quantizer.model.model  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
