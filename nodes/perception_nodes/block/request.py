"""A request to the block service as named tensors, which are checked before anything is computed.

A request is the encoder's tokens (`values`, `valid`) and the rows that the head reads (`rows`, `rows_valid`), tens of
kilobytes; the answer is those rows at the encoder's width. Our own transports send tensors as safetensors bytes: a
bounded header and raw numbers, nothing that could be executed.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from perception.errors import InputError
from perception.tokens import Readout, Tokens
from perception_nodes.block.cost import Cost
from perception_nodes.block.limits import RequestLimits
from perception_nodes.block.service import DeadlineExceeded, Overloaded, ServiceClosed

VALUE_TYPES = (torch.float32, torch.float16, torch.bfloat16)
ANSWER = "read"
"""Name of an answer's only tensor."""
MAX_HEADER_BYTES = 4096
"""Maximum size of the list of tensors in a message; that of a request has 250 bytes."""
_REQUIRED, _KNOWN = {"values", "valid"}, {"values", "valid", "rows", "rows_valid"}


class MalformedRequest(InputError):
    """A request that cannot be computed, or exceeds the service's limits."""


class UnknownPipeline(InputError):
    """A request for a pipeline that is not served here."""


class BlockFailed(RuntimeError):
    """The service failed at a valid request; its log says why."""


class NoWorker(ConnectionError):
    """No worker of the pipeline could be reached in time."""


ERROR_NAMES: dict[str, type[Exception]] = {
    "malformed": MalformedRequest,
    "unknown": UnknownPipeline,
    "overloaded": Overloaded,
    "deadline": DeadlineExceeded,
    "closed": ServiceClosed,
    "failed": BlockFailed,
}
"""Names of errors on the wire."""


def error_name(error: Exception) -> str:
    """Returns an error's name on the wire; `failed` for an unforeseen one."""
    return next((name for name, kind in ERROR_NAMES.items() if isinstance(error, kind)), "failed")


def error_of(name: str, message: str) -> Exception:
    """Returns the exception of an error's name on the wire."""
    return ERROR_NAMES.get(name, BlockFailed)(message)


def pack(tensors: Mapping[str, Tensor]) -> bytes:
    """Returns named tensors as bytes."""
    return save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})


def unpack(data: bytes, max_bytes: int) -> dict[str, Tensor]:
    """Returns the tensors in bytes; raises `MalformedRequest`."""
    if len(data) > max_bytes:
        raise MalformedRequest(f"a message of {len(data)} bytes; expected at most {max_bytes}; send fewer tokens")
    header = int.from_bytes(data[:8], "little")  # its length, by safetensors' format
    if header > MAX_HEADER_BYTES:  # a tensor takes 60 bytes there and a kilobyte in memory
        raise MalformedRequest(f"a header of {header} bytes; expected at most {MAX_HEADER_BYTES}, for four tensors")
    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise MalformedRequest(f"expected named tensors as safetensors bytes, got others ({error})") from error


def tensors_of(tokens: Tokens, readout: Readout) -> dict[str, Tensor]:
    """Returns a request's tensors."""
    tensors = {"values": tokens.values, "valid": tokens.valid, "rows": readout.rows, "rows_valid": readout.valid}
    return {name: value for name, value in tensors.items() if value is not None}


def request_of(tensors: Mapping[str, Tensor], dim: int, limits: RequestLimits) -> tuple[Tokens, Readout]:
    """Returns the tokens and rows of a request to a pipeline of width `dim`.

    Raises:
        MalformedRequest: Tensors are missing or unknown, have other types or shapes, are not finite, point beyond the
            tokens, or exceed the limits.
    """
    if not _REQUIRED <= tensors.keys() <= _KNOWN:
        raise MalformedRequest(f"expected values, valid and maybe rows, rows_valid; got {sorted(tensors)[:8]}")
    values = _expect(tensors, "values", VALUE_TYPES, (None, None, dim))
    batch, count, _ = values.shape
    if count > limits.max_tokens:
        raise MalformedRequest(f"expected at most {limits.max_tokens} tokens in a set, got {count}; send fewer")
    valid = _expect(tensors, "valid", (torch.bool,), (batch, count))
    if not values.isfinite().all():  # would spread to other requests: int8 activations share a scale
        raise MalformedRequest("expected finite values, got NaN or infinite ones; look at the encoder's input")
    return Tokens(values, valid), _readout_of(tensors, batch, count)


def expect_within(cost: Cost, limits: RequestLimits) -> None:
    """Raises `MalformedRequest` for a request that would take too much memory or work."""
    megabytes, gflop = cost.memory_bytes / 2**20, cost.operations / 1e9
    if megabytes > limits.max_memory_mb:
        raise MalformedRequest(
            f"a request that takes {megabytes:.0f} MiB of memory; expected at most {limits.max_memory_mb} "
            "(max_request_mb); read fewer rows, or send smaller batches"
        )
    if gflop > limits.max_gflop:
        raise MalformedRequest(
            f"a request of {gflop:.0f} gigaflop; expected at most {limits.max_gflop} (max_request_gflop); read fewer "
            "rows, or send smaller batches"
        )


def _readout_of(tensors: Mapping[str, Tensor], batch: int, count: int) -> Readout:
    if "rows" not in tensors:
        if "rows_valid" in tensors:
            raise MalformedRequest("expected rows beside rows_valid, got none")
        return Readout()
    rows = _expect(tensors, "rows", (torch.int64,), (batch, None))
    if rows.numel() and not 0 <= int(rows.min()) <= int(rows.max()) < count:
        raise MalformedRequest(f"expected rows in 0 to {count - 1}, got {int(rows.min())} to {int(rows.max())}")
    if "rows_valid" not in tensors:
        return Readout(rows)
    return Readout(rows, _expect(tensors, "rows_valid", (torch.bool,), tuple(rows.shape)))


def _expect(
    tensors: Mapping[str, Tensor], name: str, types: tuple[torch.dtype, ...], shape: tuple[int | None, ...]
) -> Tensor:
    tensor = tensors[name]
    fits = tensor.ndim == len(shape) and all(s in (None, n) for s, n in zip(shape, tensor.shape, strict=True))
    if tensor.dtype not in types or not fits:
        wanted = "x".join("any" if size is None else str(size) for size in shape)
        raise MalformedRequest(
            f"{name}: expected {wanted} of {' or '.join(map(str, types))}, got {list(tensor.shape)} of {tensor.dtype}"
        )
    return tensor
