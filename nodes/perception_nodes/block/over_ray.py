"""The block on many hosts: Ray Serve runs replicas, restarts them and spreads requests (extra `[ray]`).

    ray.init(address="auto")                              # or ray.init() for a cluster on this host alone
    serve_blocks(Path("folded/int8"), replicas=8)         # once, by the cluster's operator
    served = forecaster.with_block(RemoteBlock(RayBlocks(), "forecast"))

For fleets and offline work: a request takes about 5 ms more than zenoh's 0.3 ms. Every host of the cluster must have
this package and the folder. Requests and answers are safetensors bytes here too, but Ray itself uses pickle: anybody
who reaches its ports can run code, so its network must be trusted. Serve's own HTTP server stays off.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from ray import serve  # pyright: ignore[reportMissingImports]
from ray.exceptions import RayActorError  # pyright: ignore[reportMissingImports]
from ray.serve.exceptions import (  # pyright: ignore[reportMissingImports]
    BackPressureError,
    RayServeException,
    ReplicaUnavailableError,
)
from torch import Tensor

from perception.errors import InputError
from perception_nodes.block.host import BlockHost, load_pipelines
from perception_nodes.block.limits import DEFAULT_LIMITS
from perception_nodes.block.request import (
    ANSWER,
    BlockFailed,
    MalformedRequest,
    NoWorker,
    error_name,
    error_of,
    pack,
    unpack,
)
from perception_nodes.block.service import DeadlineExceeded, Overloaded
from perception_nodes.failure_log import FailureLog

APPLICATION = "block"
"""Default name of the application in Ray Serve."""
MAX_ANSWER_BYTES = 4 * DEFAULT_LIMITS.max_bytes
_AT_ONCE = 16
"""Requests that a replica has at a time: as many as its host's queue holds. Others wait for any free replica."""
_WAITING = 64
"""Requests of one client that may wait for a free replica; one more is `Overloaded`."""

_failures = FailureLog(logging.getLogger(__name__))


class BlockReplica:
    """A host of pipelines in Ray Serve's form: built in a process of Ray's, called by coroutines.

    Args:
        folder: Folder of folded pipelines, at the same path on every host of the cluster.
        pipelines: Names of the pipelines to serve; empty for all of the folder.
        threads: Number of PyTorch's threads.
    """

    def __init__(self, folder: str, pipelines: Sequence[str] = (), threads: int = 1) -> None:
        torch.set_num_threads(threads)
        self._host = BlockHost(load_pipelines(Path(folder), pipelines), queue_size=_AT_ONCE)

    def check_health(self) -> None:
        """Raises if requests are not answered any more; Ray asks every ten seconds, and then replaces the replica."""
        if trouble := self._host.trouble():
            raise BlockFailed(trouble)

    async def infer(self, pipeline: str, request: bytes, timeout_s: float) -> tuple[str, bytes]:
        """Returns an empty text and the answer's bytes, or an error's name (`error_name`) and its message."""
        try:
            tensors = unpack(request, self._host.limits.max_bytes)
            answer = await asyncio.wrap_future(self._host.submit(pipeline, tensors, timeout_s))
        except Exception as error:
            name = error_name(error)
            if name == "failed":
                _failures.add("a request", error)
            return name, b"look at the replica's log" if name == "failed" else str(error).encode()
        return "", pack({ANSWER: answer})


def serve_blocks(
    folder: Path,
    *,
    pipelines: Sequence[str] = (),
    replicas: int = 1,
    threads: int = 1,
    application: str = APPLICATION,
) -> None:
    """Starts replicas on the cluster that this process has joined, or changes their number; returns once they answer.

    They keep running after this process ends, until `ray.serve.delete(application)`.

    Args:
        folder: Folder of folded pipelines, at the same path on every host of the cluster.
        pipelines: Names of the pipelines to serve; empty for all of the folder.
        replicas: Number of processes.
        threads: Number of PyTorch's threads in each, and of cores that Ray reserves for it.
        application: Name of the application in Ray Serve.

    Raises:
        InputError: The replicas cannot be built.
    """
    if replicas < 1 or threads < 1:
        raise InputError(f"ray: expected replicas and threads of at least 1, got {replicas} and {threads}")
    deployment = serve.deployment(
        BlockReplica,
        name=BlockReplica.__name__,
        num_replicas=replicas,
        max_ongoing_requests=_AT_ONCE,
        max_queued_requests=_WAITING,
        ray_actor_options={"num_cpus": threads},
    )
    serve.start(http_options={"location": "NoServer"})
    try:
        serve.run(deployment.bind(str(folder), tuple(pipelines), threads), name=application, route_prefix=None)
    except RuntimeError as error:
        raise InputError(
            f"{folder}: expected folded pipelines that every host of the cluster can read, but replicas fail "
            f"({_reason(application)}); write them on a file system that all hosts have"
        ) from error


def _reason(application: str) -> str:
    """Returns why replicas fail: the last line of the traceback that Ray reports."""
    deployment = serve.status().applications[application].deployments[BlockReplica.__name__]
    return deployment.message.strip().splitlines()[-1].removeprefix("perception.errors.InputError: ")


class RayBlocks:
    """Connection to replicas in the Ray cluster that this process has joined; Ray chooses among them.

    Args:
        application: Name of the application in Ray Serve.

    Raises:
        NoWorker: The cluster has no such application.
    """

    def __init__(self, application: str = APPLICATION) -> None:
        self._application = application
        try:
            self._handle = serve.get_app_handle(application)
        except RayServeException as error:
            raise NoWorker(f"ray: {error} Start it with serve_blocks") from error

    def infer(self, pipeline: str, tensors: Mapping[str, Tensor], timeout_s: float) -> Tensor:
        """See `BlockTransport.infer`; while there is no replica the request waits for one, until its deadline.

        A request is sent again only if the replica that had it is gone.
        """
        end, payload = time.monotonic() + timeout_s, pack(tensors)
        while (left := end - time.monotonic()) > 0:
            reply = self._ask(pipeline, payload, left)
            if reply is not None:
                name, answer = reply
                if name:
                    raise error_of(name, answer.decode())
                return _read(answer)
        raise DeadlineExceeded(f"ray application {self._application}: no answer within {timeout_s:g} s")

    def close(self) -> None:
        """Closes the connection; the replicas keep running."""
        self._handle.shutdown()

    def __enter__(self) -> RayBlocks:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, pipeline: str, payload: bytes, left_s: float) -> tuple[str, bytes] | None:
        """Returns what `BlockReplica.infer` returns; None if the replica is gone, and the request with it."""
        response = self._handle.infer.remote(pipeline, payload, left_s)
        try:
            return response.result(timeout_s=None if math.isinf(left_s) else left_s)
        except TimeoutError as error:
            response.cancel()
            raise DeadlineExceeded(f"ray application {self._application}: no answer in time") from error
        except BackPressureError as error:
            raise Overloaded(f"pipeline {pipeline}: {error}") from error
        except (RayActorError, ReplicaUnavailableError):
            return None
        except RayServeException as error:
            raise NoWorker(f"ray application {self._application}: nobody serves it any more; start it again") from error


def _read(answer: bytes) -> Tensor:
    try:
        return unpack(answer, MAX_ANSWER_BYTES)[ANSWER]
    except (MalformedRequest, KeyError) as error:
        raise BlockFailed(f"the answer cannot be read: {error}") from error
