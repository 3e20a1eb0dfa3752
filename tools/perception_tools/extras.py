"""Which extra of this package brings which third-party module, and the message where one is not installed."""

from __future__ import annotations

from importlib.util import find_spec

from perception.errors import InputError

MODULES_OF = {
    "train": ("fsspec", "lightning", "tensorboard", "timm", "torchmetrics", "numcodecs", "pyarrow", "scipy", "zarr"),
    "report": ("h5py", "jinja2", "markupsafe", "matplotlib", "pyarrow", "scipy"),
    "nodes": (
        "PIL",
        "cryptography",
        "lz4",
        "mcap",
        "prometheus_client",
        "rosbags",
        "supervisor",
        "xxhash",
        "yaml",
        "zenoh",
        "zstandard",
    ),
    "oip": ("google.protobuf", "grpc", "grpc_health", "open_inference"),
    "camera": ("PIL", "pyarrow", "scipy"),
    "lidar": ("h5py", "laspy", "open3d", "scipy", "trimesh"),
    "maps": ("lanelet2",),
    "export": ("onnx", "onnxruntime", "onnxscript"),
    "openvino": ("openvino",),
    "text": ("tokenizers", "transformers"),
    "video": ("av", "PIL"),
    "graph": ("torch_geometric",),
    "corruptions": ("imagecorruptions",),
    "captions": ("pycocoevalcap",),
    "rerun": ("rerun",),
    "foxglove": ("foxglove",),
    "ray": ("ray",),
}
"""Extra → the modules that it brings, under the names by which they are imported."""


def missing_extra(error: ModuleNotFoundError) -> InputError | None:
    """Returns the user's error for a failed import of an extra's module; None for any other module."""
    missing = f"{error.name}."
    for extra, modules in MODULES_OF.items():
        for module in modules:
            if missing.startswith(f"{module}.") or module.startswith(missing):  # google.protobuf fails as google
                return InputError(f"{module} is not installed; pip install 'frozen-perception[{extra}]'")
    return None


def require(module: str, extra: str | None = None) -> None:
    """Checks early that a module of an extra is there, without importing it.

    Args:
        module: The module.
        extra: The extra to name, where several bring it.

    Raises:
        InputError: It is not installed. The message names the extra.
    """
    if find_spec(module) is None:
        if extra is not None:
            raise InputError(f"{module} is not installed; pip install 'frozen-perception[{extra}]'")
        missing = ModuleNotFoundError(f"No module named {module!r}", name=module)
        raise missing_extra(missing) or missing
