"""Traces a model with a batch of its input into an ONNX graph of named tensors with named axes."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from perception.batches import axis_names, named_tensors, with_named_tensors
from perception.errors import InputError

if TYPE_CHECKING:
    import onnx

OPSET = 21
"""The first that has weights of 4 bits, in groups with a scale each."""


@dataclass(frozen=True)
class GraphSource:
    """What of a model becomes a graph.

    Attributes:
        model: In evaluation mode, folded.
        call: What gives the answer for a batch: a tensor, or a dataclass of tensors.
        input_name: Name of the input where the batch is a single tensor.
        input_axes: Names of that tensor's axes; numbers where they are fixed.
        output_name: Name of the output where the answer is a single tensor.
        fixed_axes: Length of those axes of a dataclass's tensors that are not open, by name.
    """

    model: nn.Module
    call: Callable[[Any, Any], Any]
    input_name: str = "values"
    input_axes: tuple[str, ...] = ()
    output_name: str = "logits"
    fixed_axes: Mapping[str, int] = field(default_factory=dict)

    def axes(self, batch: Any) -> dict[str, tuple[str, ...]]:
        """Names of the axes of each of a batch's tensors; numbers where they are fixed."""
        if self.input_axes:
            return {self.input_name: self.input_axes}
        names = axis_names(batch, self.input_name)
        return {name: tuple(str(self.fixed_axes.get(axis, axis)) for axis in axes) for name, axes in names.items()}

    def arrays(self, batch: Any) -> dict[str, np.ndarray]:
        """What a runtime reads of a batch, by name."""
        return {name: value.numpy() for name, value in named_tensors(batch, self.input_name).items()}

    def answer(self, batch: Any) -> dict[str, Tensor]:
        """The model's answer for a batch, by name."""
        return named_tensors(self.call(self.model, batch), self.output_name)


class _Graph(nn.Module):
    """A model that takes and gives tensors, not batches."""

    def __init__(self, source: GraphSource, batch: Any) -> None:
        super().__init__()
        self.model, self._source, self._batch = source.model, source, batch
        self.inputs = tuple(named_tensors(batch, source.input_name))

    @override
    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(self.inputs, tensors, strict=True))
        batch = tensors[0] if isinstance(self._batch, Tensor) else with_named_tensors(self._batch, given)
        return tuple(self._source.answer(batch).values())


def trace(source: GraphSource, batch: Any) -> onnx.ModelProto:
    """The graph of a model; only those tensors of the batch that it reads are inputs.

    Args:
        source: The model.
        batch: Any batch whose open axes are longer than 1; its values do not matter.

    Raises:
        InputError: The model does something that cannot be traced.
    """
    graph = _Graph(source, batch).eval()
    tensors, names = tuple(named_tensors(batch, source.input_name).values()), source.axes(batch)
    open_axes = tuple(
        {axis: torch.export.Dim.AUTO for axis, name in enumerate(axes) if not name.isdigit()} for axes in names.values()
    )
    with torch.no_grad(), quietly():
        outputs = list(source.answer(batch))
        try:
            program = torch.export.export(graph, tensors, dynamic_shapes=(open_axes,), strict=False)
            traced = torch.onnx.export(
                program,
                input_names=list(graph.inputs),
                output_names=outputs,
                opset_version=OPSET,
                dynamo=True,
                optimize=True,
                verify=False,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError, TypeError, AssertionError) as error:
            raise InputError(
                f"export: expected a model that can be traced, {type(source.model).__name__} cannot be: "
                f"{str(error).strip().splitlines()[0]}; report it, with the recipe"
            ) from error
    assert traced is not None
    proto = traced.model_proto
    _drop_unread_inputs(proto)
    _name_axes(proto, names)
    proto.graph.ClearField("value_info")  # its axes have the tracer's names
    return proto


def _drop_unread_inputs(proto: onnx.ModelProto) -> None:
    """Labels, for example, which only training reads."""
    read = {name for node in proto.graph.node for name in node.input}
    for value in [value for value in proto.graph.input if value.name not in read]:
        proto.graph.input.remove(value)


def _name_axes(proto: onnx.ModelProto, names: dict[str, tuple[str, ...]]) -> None:
    """Gives each open axis the name that its dataclass has for it, and the outputs' axes those of the inputs."""
    of_tracer: dict[str, str] = {}
    for value in proto.graph.input:
        for dim, name in zip(value.type.tensor_type.shape.dim, names[value.name], strict=True):
            if name.isdigit():
                dim.dim_value = int(name)
            elif dim.HasField("dim_param"):
                dim.dim_param = of_tracer.setdefault(dim.dim_param, name)
    for value in proto.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_param"):
                dim.dim_param = of_tracer.get(dim.dim_param, dim.dim_param)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Silences exporters and quantisers, which print, log and warn about each of their steps."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
