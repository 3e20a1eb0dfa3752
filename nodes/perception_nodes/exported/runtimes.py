"""Runtimes for exported models: ONNX Runtime and OpenVINO, behind one call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from jaxtyping import Shaped

from perception.errors import InputError, first_of
from perception_nodes.exported.model_file import ExportedFile, expect_inputs, open_exported

Backend = Literal["onnxruntime", "openvino"]
Arrays = Mapping[str, Shaped[np.ndarray, "..."]]
_CPU = "CPUExecutionProvider"


class Runtime(Protocol):
    """An exported model that is ready to be asked.

    Attributes:
        file: Where it is from, and what that says.
        inputs: Names of the arrays that it reads.
        backend: What runs it.
        plans_by_size: Whether the first answer of every new size takes longer than later ones.
    """

    file: ExportedFile
    inputs: tuple[str, ...]
    backend: str
    plans_by_size: bool

    def run(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """The outputs by name.

        Args:
            arrays: At least those of `inputs`; others are left out.

        Raises:
            InputError: One is missing.
        """
        ...


class OnnxRuntime:
    """ONNX Runtime; arguments as for `open_runtime`."""

    backend = "onnxruntime"

    def __init__(
        self, file: ExportedFile, threads: int, provider: str | None = None, share_weights: bool = False
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        # Threads that wait by turning take the processor from everything else on the robot.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if share_weights:  # packed weights are a copy of this process alone; as they lie they are the file's pages
            options.add_session_config_entry("session.disable_prepacking", "1")
        providers = [_provider(provider, onnxruntime.get_available_providers())]
        self.plans_by_size = providers != [_CPU]
        with _opening(file):
            self._session = onnxruntime.InferenceSession(str(file.path), options, providers=providers)
        self.file, self.inputs = file, tuple(one.name for one in self._session.get_inputs())
        self._outputs = [one.name for one in self._session.get_outputs()]

    def run(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """See `Runtime.run`."""
        expect_inputs(self.file, set(arrays), set(self.inputs))
        found = self._session.run(self._outputs, {name: arrays[name] for name in self.inputs})
        return {name: np.asarray(value) for name, value in zip(self._outputs, found, strict=True)}


class OpenVino:
    """OpenVINO; arguments as for `open_runtime`."""

    backend = "openvino"
    plans_by_size = True

    def __init__(
        self, file: ExportedFile, threads: int, provider: str | None = None, share_weights: bool = False
    ) -> None:
        import openvino

        if share_weights:
            raise InputError("share_weights: OpenVINO packs weights anew in each process; take backend onnxruntime")

        core = openvino.Core()
        device = provider or "CPU"
        if device.split(".")[0] not in {name.split(".")[0] for name in core.available_devices}:
            raise InputError(f"provider {device}: OpenVINO finds {first_of(core.available_devices)} here; name one")
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if device == "CPU":
            settings |= {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        with _opening(file):
            compiled = core.compile_model(core.read_model(file.path), device, settings)
        self._request = compiled.create_infer_request()
        self.file, self.inputs = file, tuple(one.get_any_name() for one in compiled.inputs)
        self._outputs = [one.get_any_name() for one in compiled.outputs]

    def run(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """See `Runtime.run`."""
        expect_inputs(self.file, set(arrays), set(self.inputs))
        found = self._request.infer({name: arrays[name] for name in self.inputs})
        return {name: np.array(found[name]) for name in self._outputs}


def open_runtime(
    path: Path | ExportedFile,
    backend: Backend,
    *,
    threads: int = 1,
    provider: str | None = None,
    share_weights: bool = False,
) -> Runtime:
    """Opens an exported model.

    Args:
        path: The file that `perception export` wrote, or one that is open.
        backend: What runs it.
        threads: Number of threads.
        provider: ONNX Runtime's execution provider (`CPUExecutionProvider`, `CUDAExecutionProvider`, …) or OpenVINO's
            device; the processor by default.
        share_weights: Whether ONNX Runtime computes with the block's weights as they lie in their file, whose memory
            processes share. With its own copy, packed for its kernels, it is faster.

    Raises:
        InputError: The file cannot be used, or the backend or provider is not there.
    """
    if threads < 1:
        raise InputError(f"threads {threads}: expected at least 1; give the number of cores that the model may use")
    kinds = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}
    if backend not in kinds:
        raise InputError(f"backend {backend}: expected one of {', '.join(get_args(Backend))}")
    file = path if isinstance(path, ExportedFile) else open_exported(path)
    try:
        return kinds[backend](file, threads, provider, share_weights)
    except ModuleNotFoundError as error:
        extra = {"onnxruntime": "export", "openvino": "openvino"}[backend]
        raise InputError(f"{error.name} is not installed; pip install 'frozen-perception[{extra}]'") from error


def _provider(name: str | None, available: list[str]) -> str:
    wanted = name or _CPU
    if wanted not in available:
        raise InputError(f"provider {wanted}: ONNX Runtime has {first_of(available)} here; name one of them")
    return wanted


@contextmanager
def _opening(file: ExportedFile) -> Iterator[None]:
    """Turns whatever a runtime says of a file that it cannot open into a sentence."""
    try:
        yield
    except Exception as error:  # runtimes have kinds of their own
        words = " ".join(str(error).split())[:300]
        raise InputError(f"{file.path}: the runtime cannot open it: {words}; export the model again") from error
