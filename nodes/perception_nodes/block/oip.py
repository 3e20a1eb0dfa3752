"""The block service in the Open Inference Protocol (KServe v2) on gRPC: for other hosts, and for other clients.

A pipeline is a model with the inputs `values` (FP32, FP16 or BF16), `valid` (BOOL) and, where not every row is read,
`rows` (INT64) and `rows_valid` (BOOL); its output is `read`. The deadline of the gRPC call is the request's. The server
also offers the standard `grpc.health.v1`.

https://github.com/open-inference/open-inference-protocol, `inference_grpc.md`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, Any, NoReturn, cast

import grpc
import numpy as np
import torch
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from open_inference.grpc import protocol
from torch import Tensor

from perception.errors import InputError
from perception_nodes.block.host import BlockHost
from perception_nodes.block.request import ANSWER, MalformedRequest, error_name
from perception_nodes.failure_log import FailureLog
from perception_nodes.security.listening import expect_guarded

if TYPE_CHECKING:
    from perception_nodes.security.identity import Identity

SERVICE = "inference.GRPCInferenceService"
TYPES = {
    "FP32": torch.float32,
    "FP16": torch.float16,
    "BF16": torch.bfloat16,
    "INT64": torch.int64,
    "BOOL": torch.bool,
}
TYPE_NAMES = {dtype: name for name, dtype in TYPES.items()}
STATUS = {
    "malformed": grpc.StatusCode.INVALID_ARGUMENT,
    "unknown": grpc.StatusCode.NOT_FOUND,
    "overloaded": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "deadline": grpc.StatusCode.DEADLINE_EXCEEDED,
    "closed": grpc.StatusCode.UNAVAILABLE,
    "failed": grpc.StatusCode.INTERNAL,
}
"""gRPC's status for each of our error names."""
_LISTS = {
    "FP32": ("fp32_contents", np.float32),
    "INT64": ("int64_contents", np.int64),
    "BOOL": ("bool_contents", np.bool_),
}
"""The field of a type's list, and numpy's type."""
_LONGEST_S = 60.0
_THREADS = 16

_failures = FailureLog(logging.getLogger(__name__))


class OipBlockServer:
    """Serves a host's pipelines on a port.

    Args:
        host: Host of the pipelines; its owner closes it.
        port: Port to listen at; 0 chooses a free one.
        address: Address to listen at.
        identity: Identity of the server. With it, only TLS is accepted, from clients with a certificate of the same
            authority.
        clients: Common names of the certificates of accepted clients; all others are refused.
        allow_unencrypted: Listens beyond loopback without an identity too, where anybody may ask.

    Attributes:
        port: Port that it listens at.

    Raises:
        InputError: The port cannot be listened at, or only one of identity and clients is given.
    """

    def __init__(
        self,
        host: BlockHost,
        port: int = 0,
        address: str = "127.0.0.1",
        *,
        identity: Identity | None = None,
        clients: Collection[str] = (),
        allow_unencrypted: bool = False,
    ) -> None:
        if (identity is None) == bool(clients):
            found = f"{len(clients)} clients and {'no' if identity is None else 'a'} certificate"
            raise InputError(
                f"serving gRPC: expected clients by name where there is a certificate, got {found}; give both"
            )
        expect_guarded(f"{address}:{port}", guarded=identity is not None or allow_unencrypted)
        self._host = host
        options = [
            ("grpc.max_receive_message_length", host.limits.max_bytes),
            ("grpc.so_reuseport", 0),  # a second server on the port is a mistake
        ]
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="oip"),
            options=options,
            maximum_concurrent_rpcs=4 * _THREADS,
        )
        self._health = _Health(host)
        for name in ("", SERVICE):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._server.add_generic_rpc_handlers(
            (_handler(_Servicer(host), None if identity is None else frozenset(clients)),)
        )
        try:
            if identity is None:
                self.port = self._server.add_insecure_port(f"{address}:{port}")
            else:
                self.port = self._server.add_secure_port(f"{address}:{port}", _credentials(identity))
        except RuntimeError as error:
            raise InputError(f"{address}:{port} cannot be listened at ({error}); choose another port") from error
        self._server.start()

    def close(self, timeout_s: float = 4.0) -> None:
        """Reports not ready, answers the pending requests, and ends."""
        self._health.enter_graceful_shutdown()
        self._server.stop(timeout_s).wait()

    def __enter__(self) -> OipBlockServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _credentials(identity: Identity) -> grpc.ServerCredentials:
    """Returns credentials for TLS with clients that show a certificate."""
    pair = identity.key.read_bytes(), identity.certificate.read_bytes()
    return grpc.ssl_server_credentials([pair], identity.ca.read_bytes(), require_client_auth=True)


class _Health(health.HealthServicer):
    """The standard health service; not serving while the host has trouble."""

    def __init__(self, host: BlockHost) -> None:
        super().__init__()
        self._host = host

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Answers whether requests are answered."""
        if self._host.trouble():
            return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.NOT_SERVING)
        return super().Check(request, context)


_CALLS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")


class _Servicer:
    """The protocol's six calls."""

    def __init__(self, host: BlockHost) -> None:
        self._host = host

    def ServerLive(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002
        """Answers whether the process makes progress."""
        return protocol.ServerLiveResponse(live=not self._host.trouble())

    def ServerReady(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002
        """Answers whether it accepts requests."""
        return protocol.ServerReadyResponse(ready=self._host.ready)

    def ModelReady(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002
        """Answers whether it accepts requests for a pipeline."""
        return protocol.ModelReadyResponse(ready=self._host.ready and request.name in self._host.widths)

    def ServerMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002
        """Returns the server's name."""
        return protocol.ServerMetadataResponse(name="frozen-perception", version="1", extensions=[])

    def ModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Returns a pipeline's inputs and output; -1 is any size. Its version is the start of its fingerprint."""
        self._expect_known(request.name, context)
        width = self._host.widths[request.name]
        shapes = {"values": [-1, -1, width], "valid": [-1, -1], "rows": [-1, -1], "rows_valid": [-1, -1]}
        types = {"values": "FP32", "valid": "BOOL", "rows": "INT64", "rows_valid": "BOOL"}
        metadata = protocol.ModelMetadataResponse.TensorMetadata
        return protocol.ModelMetadataResponse(
            name=request.name,
            versions=[self._host.fingerprints[request.name][:12]],
            platform="frozen-perception-folded-block",
            inputs=[metadata(name=name, datatype=types[name], shape=shape) for name, shape in shapes.items()],
            outputs=[metadata(name=ANSWER, datatype="FP32", shape=[-1, -1, width])],
        )

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Returns the rows that are read."""
        self._expect_known(request.model_name, context)
        left = context.time_remaining()
        timeout_s = _LONGEST_S if left is None else min(left, _LONGEST_S)
        try:
            future = self._host.submit(request.model_name, tensors_of_request(request), timeout_s)
            # cancels the request when the client disconnects
            if not context.add_callback(partial(_cancel, future)):
                _cancel(future)
            answer = future.result(timeout_s)
        except CancelledError:
            context.abort(grpc.StatusCode.CANCELLED, "the client is gone")
        except FutureTimeout:
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"no answer within {timeout_s:.3f} s")
        except Exception as error:
            self._abort(context, error)
        response = protocol.ModelInferResponse(
            model_name=request.model_name, model_version=self._host.fingerprints[request.model_name][:12], id=request.id
        )
        put_tensor(response.outputs, response.raw_output_contents, ANSWER, answer)
        return response

    def _expect_known(self, name: str, context: grpc.ServicerContext) -> None:
        if name not in self._host.widths:
            known = ", ".join(sorted(self._host.widths))
            context.abort(grpc.StatusCode.NOT_FOUND, f"model {name[:80]!r}: expected one of {known}")

    def _abort(self, context: grpc.ServicerContext, error: Exception) -> NoReturn:
        name = error_name(error)
        if name == "failed":
            _failures.add("a request", error)
        context.abort(STATUS[name], "look at the service's log" if name == "failed" else str(error))
        raise AssertionError("abort raises")


def _cancel(future: Future[Tensor]) -> None:
    future.cancel()


def _handler(servicer: _Servicer, clients: frozenset[str] | None) -> grpc.GenericRpcHandler:
    """Returns the handler of the calls, for these clients, or for all if they are None.

    Each call parses its own request: gRPC keeps a call whose request it cannot parse for ever (grpcio 1.85, about 2 kB
    each), so such requests would fill the server's memory.
    """
    methods = {
        name: grpc.unary_unary_rpc_method_handler(
            partial(_call, getattr(protocol, f"{name}Request"), getattr(servicer, name), clients),
            response_serializer=methodcaller("SerializeToString"),
        )
        for name in _CALLS
    }
    return grpc.method_handlers_generic_handler(SERVICE, methods)


def _call(
    kind: type[Message],
    answer: Callable[[Any, grpc.ServicerContext], Any],
    clients: frozenset[str] | None,
    data: bytes,
    context: grpc.ServicerContext,
) -> Any:
    if clients is not None:
        shown = cast(Iterable[bytes], context.auth_context().get("x509_common_name", ()))
        names = [name.decode(errors="replace") for name in shown]
        if clients.isdisjoint(names):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, f"{', '.join(names)[:80]}: no accepted client")
    try:
        request = kind.FromString(data)
    except DecodeError as error:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"expected a {kind.__name__}, got other bytes ({error})")
    return answer(request, context)


def tensors_of_request(request: Any) -> dict[str, Tensor]:
    """Returns the tensors of an infer request, from raw bytes or typed lists; raises `MalformedRequest`."""
    raw: Sequence[bytes] = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise MalformedRequest(f"expected raw contents of {len(request.inputs)} inputs, got {len(raw)}")
    names = [tensor.name for tensor in request.inputs]
    if len(set(names)) != len(names):
        raise MalformedRequest(f"expected each input once, got {names[:8]}")
    return {
        tensor.name: get_tensor(tensor, raw[index]) if raw else _of_lists(tensor)
        for index, tensor in enumerate(request.inputs)
    }


def put_tensor(places: Any, contents: Any, name: str, tensor: Tensor) -> None:
    """Adds a tensor to a message's list of tensors and its list of raw contents."""
    places.add(name=name, datatype=TYPE_NAMES[tensor.dtype], shape=list(tensor.shape))
    contents.append(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


def get_tensor(place: Any, data: bytes) -> Tensor:
    """Returns a tensor from its name, type and shape, and its raw contents; raises `MalformedRequest`."""
    dtype, count = _type_of(place), _count_of(place)
    if count * dtype.itemsize != len(data):
        raise MalformedRequest(f"{place.name[:80]}: {len(data)} bytes do not fill {list(place.shape)} of {dtype}")
    flat = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.zeros(0, dtype=torch.uint8)
    if dtype is torch.bool:
        return (flat != 0).reshape(tuple(place.shape))  # any other byte than 0 and 1 as a bool is undefined
    return flat.view(dtype).reshape(tuple(place.shape))


def _of_lists(tensor: Any) -> Tensor:
    """Returns a tensor from typed lists, which the protocol has for some types only."""
    _type_of(tensor)
    count = _count_of(tensor)
    if tensor.datatype not in _LISTS:
        raise MalformedRequest(f"{tensor.name[:80]}: {tensor.datatype} has no typed list; use raw_input_contents")
    field, kind = _LISTS[tensor.datatype]
    numbers = getattr(tensor.contents, field)
    if len(numbers) != count:
        raise MalformedRequest(f"{tensor.name[:80]}: {len(numbers)} numbers do not fill {list(tensor.shape)}")
    return torch.from_numpy(np.fromiter(numbers, kind, count)).reshape(tuple(tensor.shape))


def _type_of(tensor: Any) -> torch.dtype:
    if tensor.datatype not in TYPES:
        raise MalformedRequest(f"{tensor.name[:80]}: expected {', '.join(TYPES)}, got {tensor.datatype[:20]!r}")
    return TYPES[tensor.datatype]


def _count_of(tensor: Any) -> int:
    """Returns the number of elements of the shape, as a Python integer, which does not overflow."""
    if len(tensor.shape) > 3 or any(not 0 <= size < 2**31 for size in tensor.shape):
        raise MalformedRequest(
            f"{tensor.name[:80]}: expected up to 3 sizes of at least 0, got {list(tensor.shape)[:8]}"
        )
    count = 1
    for size in tensor.shape:
        count *= size
    return count
