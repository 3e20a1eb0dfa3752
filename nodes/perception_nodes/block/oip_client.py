"""Connection to block servers of the Open Inference Protocol: ours, or any others with the same models.

gRPC spreads requests over several servers, and sends them again, within their deadline, when a server goes away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import grpc
from open_inference.grpc import protocol
from open_inference.grpc.service import GRPCInferenceServiceStub
from torch import Tensor

from perception.errors import InputError
from perception_nodes.block.limits import DEFAULT_LIMITS
from perception_nodes.block.oip import SERVICE, STATUS, get_tensor, put_tensor
from perception_nodes.block.request import ANSWER, BlockFailed, NoWorker, error_of

if TYPE_CHECKING:
    from perception_nodes.security.identity import Identity

_RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "0.01s",
    "maxBackoff": "0.2s",
    "backoffMultiplier": 2,
    # A server that stops sends CANCELLED for calls that it has not begun to answer.
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}
_NAMES = {status: name for name, status in STATUS.items()}


class OipBlocks:
    """Asks servers in turn.

    Args:
        servers: Addresses with ports, such as 127.0.0.1:8001.
        identity: Identity to show; then only TLS is used. Without it the channel is not encrypted, for loopback and
            trusted networks.
    """

    def __init__(self, servers: Sequence[str], identity: Identity | None = None) -> None:
        if not servers:
            raise InputError("block client: expected at least one server, such as 127.0.0.1:8001, got none")
        config = {
            "loadBalancingConfig": [{"round_robin": {}}],
            "methodConfig": [{"name": [{"service": SERVICE}], "retryPolicy": _RETRY}],
        }
        options = [
            ("grpc.service_config", json.dumps(config)),
            ("grpc.max_receive_message_length", DEFAULT_LIMITS.max_bytes),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.enable_http_proxy", 0),
        ]
        target = f"ipv4:{','.join(servers)}" if len(servers) > 1 else servers[0]
        if identity is None:
            self._channel = grpc.insecure_channel(target, options=options)
        else:
            self._channel = grpc.secure_channel(target, _credentials(identity), options=options)
        self._stub = GRPCInferenceServiceStub(self._channel)

    def infer(self, pipeline: str, tensors: Mapping[str, Tensor], timeout_s: float) -> Tensor:
        """See `BlockTransport.infer`."""
        request = protocol.ModelInferRequest(model_name=pipeline)
        for name, tensor in tensors.items():
            put_tensor(request.inputs, request.raw_input_contents, name, tensor)
        try:
            response = self._stub.ModelInfer(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise _translated(error) from error
        if [output.name for output in response.outputs] != [ANSWER] or len(response.raw_output_contents) != 1:
            raise BlockFailed(f"model {pipeline}: expected one output {ANSWER!r} with raw contents, got others")
        return get_tensor(response.outputs[0], response.raw_output_contents[0])

    def close(self) -> None:
        """Closes the connections."""
        self._channel.close()

    def __enter__(self) -> OipBlocks:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _credentials(identity: Identity) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        identity.ca.read_bytes(), identity.key.read_bytes(), identity.certificate.read_bytes()
    )


def _translated(error: grpc.RpcError) -> Exception:
    """Returns our exception for a call's status."""
    assert isinstance(error, grpc.Call)
    status, details = error.code(), error.details() or ""
    if status is grpc.StatusCode.UNAVAILABLE:
        return NoWorker(details)
    return error_of(_NAMES.get(status, "failed"), details)
