"""What a request takes to compute, estimated from its sizes before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass

from perception.frozen.folded import FoldedAttention

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Cost:
    """Memory and work of a request.

    Attributes:
        memory_bytes: Memory that is needed at once beside the weights and the message.
        operations: Number of multiplications and additions.
    """

    memory_bytes: int
    operations: int


def cost_of(attention: FoldedAttention, batch: int, tokens: int, rows: int) -> Cost:
    """Returns what a request to a pipeline takes at most.

    The memory of many rows is about a tenth above what is measured. Attention's weights are counted too, which some of
    PyTorch's kernels store and others do not.

    Args:
        attention: The pipeline's own part, whose shapes count.
        batch: Number of token sets.
        tokens: Number of tokens of each set.
        rows: Number of rows that are read of each set, however often one is repeated.
    """
    config, (_, size, latent) = attention.config, attention.k.shape
    dim, inner, ffn = config.dim, config.heads * size, config.ffn_dim
    matrices = 3 if config.architecture == "llama" else 2
    width = attention.project_in.in_features
    if attention.absorbs(tokens, rows):
        of_token, of_row = 0, 2 * config.heads * latent
        attending = rows * config.heads * latent * (size + tokens)
    else:
        of_token, of_row = 2 * config.kv_heads * size, 0
        attending = tokens * size * (config.kv_heads * latent + rows * config.heads)
    of_token += 4 * latent
    of_row += 3 * inner + 2 * (dim + inner) + 3 * dim + 3 * ffn + 4 * width
    numbers = tokens * of_token + rows * of_row + config.heads * rows * tokens
    products = 2 * attending + rows * (inner * latent + dim * inner + matrices * dim * ffn + 2 * dim * width)
    return Cost(_FLOAT_BYTES * batch * numbers, 2 * batch * products)
