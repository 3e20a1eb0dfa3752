from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor

from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.folded import FoldedBlock
from perception.tokens import Readout, Tokens
from perception_nodes.block.host import BlockHost
from perception_nodes.block.limits import RequestLimits
from perception_nodes.block.request import MalformedRequest, tensors_of

grpc = pytest.importorskip("grpc", reason="the extra [oip] is not installed")
from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: E402
from open_inference.grpc import protocol  # noqa: E402
from open_inference.grpc.service import GRPCInferenceServiceStub  # noqa: E402

from perception_nodes.block.oip import OipBlockServer, get_tensor, put_tensor, tensors_of_request  # noqa: E402

ASKED = Readout(torch.tensor([[0, 3], [4, 1]]))


@pytest.fixture(scope="module")
def server(folded: FoldedBlock) -> Iterator[OipBlockServer]:
    with OipBlockServer(
        BlockHost({"forecast": folded}, limits=RequestLimits(max_bytes=200_000, max_memory_mb=32))
    ) as server:
        yield server


@pytest.fixture(scope="module")
def channel(server: OipBlockServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> GRPCInferenceServiceStub:
    return GRPCInferenceServiceStub(channel)


def make_tokens(seed: int = 0) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    return Tokens(torch.randn(2, 5, 16, generator=generator), torch.ones(2, 5, dtype=torch.bool))


def make_request(tensors: dict[str, Tensor], name: str = "forecast") -> protocol.ModelInferRequest:
    request = protocol.ModelInferRequest(model_name=name, id="7")
    for tensor_name, tensor in tensors.items():
        put_tensor(request.inputs, request.raw_input_contents, tensor_name, tensor)
    return request


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float16, 1e-3), (torch.bfloat16, 1e-2)], ids=str
)
def test_the_numbers_are_those_of_the_adapter_alone(
    stub: GRPCInferenceServiceStub, adapter: FrozenBlockAdapter, dtype: torch.dtype, tolerance: float
) -> None:
    tokens = make_tokens()
    narrow = Tokens(tokens.values.to(dtype), tokens.valid)
    response = stub.ModelInfer(make_request(tensors_of(narrow, ASKED)), timeout=60)
    answer = get_tensor(response.outputs[0], response.raw_output_contents[0])
    alone = adapter(Tokens(narrow.values.float(), tokens.valid), ASKED)
    assert (response.id, response.model_name, response.outputs[0].name) == ("7", "forecast", "read")
    assert answer.dtype == dtype
    assert (answer.float() - alone).norm() < tolerance * alone.norm()


def test_typed_lists_say_the_same_as_raw_contents(stub: GRPCInferenceServiceStub) -> None:
    tensors = tensors_of(make_tokens(), ASKED)
    raw = stub.ModelInfer(make_request(tensors), timeout=60)
    request = protocol.ModelInferRequest(model_name="forecast")
    lists = {
        "values": ("FP32", "fp32_contents"),
        "valid": ("BOOL", "bool_contents"),
        "rows": ("INT64", "int64_contents"),
    }
    for name, (kind, field) in lists.items():
        added = request.inputs.add(name=name, datatype=kind, shape=list(tensors[name].shape))
        getattr(added.contents, field).extend(tensors[name].flatten().tolist())
    assert stub.ModelInfer(request, timeout=60).raw_output_contents == raw.raw_output_contents


def test_it_says_what_it_is(stub: GRPCInferenceServiceStub, channel: grpc.Channel, folded: FoldedBlock) -> None:
    assert stub.ServerLive(protocol.ServerLiveRequest(), timeout=60).live
    assert stub.ServerReady(protocol.ServerReadyRequest(), timeout=60).ready
    assert stub.ServerMetadata(protocol.ServerMetadataRequest(), timeout=60).name == "frozen-perception"
    for name, ready in (("forecast", True), ("other", False)):
        assert stub.ModelReady(protocol.ModelReadyRequest(name=name), timeout=60).ready is ready
    metadata = stub.ModelMetadata(protocol.ModelMetadataRequest(name="forecast"), timeout=60)
    assert list(metadata.versions) == [folded.fingerprint[:12]]
    values = metadata.inputs[0]
    assert (values.name, values.datatype, list(values.shape)) == ("values", "FP32", [-1, -1, 16])
    check = health_pb2_grpc.HealthStub(channel).Check  # pyright: ignore[reportAttributeAccessIssue]
    for service in ("", "inference.GRPCInferenceService"):
        answer = check(health_pb2.HealthCheckRequest(service=service), timeout=60)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def status_of(call, request: object, timeout: float = 10) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=timeout)
    return caught.value.code(), caught.value.details()  # pyright: ignore[reportAttributeAccessIssue]


def test_each_mistake_has_its_status(stub: GRPCInferenceServiceStub) -> None:
    sound = tensors_of(make_tokens(), ASKED)
    code, words = status_of(stub.ModelInfer, make_request(sound, "other"))
    assert (code, words) == (grpc.StatusCode.NOT_FOUND, "model 'other': expected one of forecast")
    assert status_of(stub.ModelMetadata, protocol.ModelMetadataRequest(name="x"))[0] is grpc.StatusCode.NOT_FOUND
    code, words = status_of(stub.ModelInfer, make_request({**sound, "values": torch.zeros(2, 5, 9)}))
    assert (code, "anyxanyx16" in words) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    many_rows = {name: value[:1, :1] for name, value in sound.items()} | {"rows": torch.zeros(1, 20_000).long()}
    code, words = status_of(stub.ModelInfer, make_request(many_rows))
    assert (code, "MiB of memory; expected at most 32" in words) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    huge = make_request({**sound, "values": torch.zeros(2, 5000, 16)})
    assert status_of(stub.ModelInfer, huge)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED  # from gRPC itself


@pytest.mark.parametrize(
    "spoil",
    [
        lambda request: request.raw_input_contents.append(b""),
        lambda request: setattr(request.inputs[0], "datatype", "BYTES"),
        lambda request: setattr(request.inputs[0], "name", "valid"),
        lambda request: request.inputs[0].shape.append(2**62),
        lambda request: request.inputs[0].shape.__setitem__(0, -2),
        lambda request: request.inputs[0].shape.__setitem__(0, 2**40),
        lambda request: request.raw_input_contents.__setitem__(0, b"short"),
        lambda request: request.ClearField("raw_input_contents"),
    ],
)
def test_a_request_that_contradicts_itself_is_malformed(spoil) -> None:
    request = make_request(tensors_of(make_tokens(), ASKED))
    spoil(request)
    with pytest.raises(MalformedRequest):
        tensors_of_request(request)


def test_full_queues_and_passed_deadlines_have_their_status(folded: FoldedBlock) -> None:
    from concurrent.futures import ThreadPoolExecutor

    host = BlockHost({"forecast": folded}, queue_size=2)
    entered, go_on, tail = threading.Event(), threading.Event(), host.service.tail

    def gate(*args: Tensor) -> Tensor:
        entered.set()
        go_on.wait(60)
        return tail(*args)

    host.service.tail = gate  # pyright: ignore[reportAttributeAccessIssue]
    request = make_request(tensors_of(make_tokens(), ASKED))
    with (
        OipBlockServer(host) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ThreadPoolExecutor(1) as pool,
    ):
        stub = GRPCInferenceServiceStub(channel)
        first = pool.submit(stub.ModelInfer, request, timeout=10)
        assert entered.wait(60)
        assert status_of(stub.ModelInfer, request, timeout=0.3)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
        waiting = stub.ModelInfer.future(request, timeout=60)
        end = time.monotonic() + 60
        while len(host.service._queues["forecast"]) < 2:  # the one that was given up, and this one
            assert time.monotonic() < end
            time.sleep(0.005)
        assert status_of(stub.ModelInfer, request, timeout=60)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        go_on.set()
        assert len(first.result(60).outputs) == len(waiting.result(60).outputs) == 1
    assert host.service.counts.requests == 2


def test_one_port_has_one_server_and_it_is_on_loopback(server: OipBlockServer, folded: FoldedBlock) -> None:
    with BlockHost({"forecast": folded}) as host, pytest.raises(InputError, match="choose another port"):
        OipBlockServer(host, server.port)
    tables = (Path(f"/proc/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6"))
    listening = [line.split()[1].split(":") for table in tables for line in table if " 0A " in line]
    at = {address for address, port in listening if int(port, 16) == server.port}
    assert at in ({"0100007F"}, {"0000000000000000FFFF00000100007F"})  # 127.0.0.1; the latter is its IPv6 form
    with pytest.raises(InputError, match="expected a place on loopback"):
        OipBlockServer(BlockHost({"forecast": folded}), address="0.0.0.0")
    OipBlockServer(BlockHost({"forecast": folded}), address="0.0.0.0", allow_unencrypted=True).close()


@pytest.mark.parametrize("count", [300, pytest.param(15_000, marks=pytest.mark.slow)])
def test_mutated_messages_neither_crash_nor_hang_nor_grow_it(channel: grpc.Channel, count: int) -> None:
    one_token = Tokens(make_tokens().values[:1, :1], make_tokens().valid[:1, :1])  # little but framing to be mutated
    sound = make_request(tensors_of(one_token, Readout(torch.tensor([[0]])))).SerializeToString()
    infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    generator = torch.Generator().manual_seed(0)
    codes: dict[grpc.StatusCode, int] = {}

    def send(messages: list[bytes]) -> None:
        """Sends all at once: one after the other, most of the time would be waiting."""
        for answer in [infer.future(data, timeout=60) for data in messages]:
            codes[answer.code()] = codes.get(answer.code(), 0) + 1

    def mutated() -> bytes:
        data = bytearray(sound)
        for _ in range(int(torch.randint(1, 5, (), generator=generator))):
            data[int(torch.randint(len(data), (), generator=generator))] = int(
                torch.randint(256, (), generator=generator)
            )
        return bytes(data)

    at_once, before = 50, None
    for number in range(0, count, at_once):
        send([mutated() for _ in range(at_once)])
        if before is None and number >= count // 3:
            before = resident()
    assert before is not None
    assert resident() < before + 15 * 2**20  # what gRPC keeps of each call that it cannot parse itself is 2 kB
    assert sum(codes.values()) == count
    # Nothing failed inside, timed out or killed the server.
    assert grpc.StatusCode.INTERNAL not in codes
    assert grpc.StatusCode.DEADLINE_EXCEEDED not in codes
    assert grpc.StatusCode.UNAVAILABLE not in codes
    send([sound])
    assert codes[grpc.StatusCode.OK] >= 1
    assert codes[grpc.StatusCode.INVALID_ARGUMENT] > count // 2


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


_STOCK_CLIENT = """
import sys
import numpy as np
import tritonclient.grpc as triton

client = triton.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("forecast")
assert client.get_model_metadata("forecast").inputs[0].shape == [-1, -1, 16]
inputs = []
for name, kind, array in (
    ("values", "FP32", np.linspace(-1, 1, 160, dtype=np.float32).reshape(2, 5, 16)),
    ("valid", "BOOL", np.ones((2, 5), bool)),
    ("rows", "INT64", np.array([[0, 3], [4, 1]])),
):
    inputs.append(triton.InferInput(name, array.shape, kind))
    inputs[-1].set_data_from_numpy(array)
answer = client.infer("forecast", inputs).as_numpy("read")
try:
    client.infer("other", inputs)
except triton.InferenceServerException as error:
    assert error.status() == "StatusCode.NOT_FOUND", error
np.save(sys.argv[2], answer)
"""


@pytest.mark.slow
def test_nvidias_stock_client_gets_the_adapters_numbers(
    server: OipBlockServer, adapter: FrozenBlockAdapter, tmp_path: Path
) -> None:
    import numpy as np

    venv = tmp_path / "venv"  # of its own: the client wants an older protobuf than our servicer
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python, wanted = str(venv / "bin" / "python"), ["--quiet", "tritonclient[grpc]"]
    pip = ["pip", "--python", python, "install"]
    if find_spec("uv") is not None:  # takes seconds less, with what it has unpacked before
        pip = ["uv", "pip", "install", "--python", python]
    installed = subprocess.run([sys.executable, "-m", *pip, *wanted], capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"the package index gives no tritonclient: {installed.stderr[-300:]}")
    out = tmp_path / "answer.npy"
    command = [python, "-c", _STOCK_CLIENT, f"127.0.0.1:{server.port}", out]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert finished.returncode == 0, finished.stderr
    values = torch.linspace(-1, 1, 160).reshape(2, 5, 16)
    alone = adapter(Tokens(values, torch.ones(2, 5, dtype=torch.bool)), ASKED)
    torch.testing.assert_close(torch.from_numpy(np.load(out)), alone, rtol=1e-5, atol=1e-6)


def test_a_drain_answers_who_asked_and_then_nobody(folded: FoldedBlock) -> None:
    server = OipBlockServer(BlockHost({"forecast": folded}))
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        request = make_request(tensors_of(make_tokens(), ASKED))
        stub.ModelInfer(request, timeout=60)
        server.close()
        assert status_of(stub.ModelInfer, request, timeout=2)[0] is grpc.StatusCode.UNAVAILABLE


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_service_is_neither_live_nor_ready_nor_healthy(folded: FoldedBlock) -> None:
    def end(*_: object) -> None:
        raise SystemExit

    host = BlockHost({"forecast": folded})
    with OipBlockServer(host) as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        check = health_pb2_grpc.HealthStub(channel).Check  # pyright: ignore[reportAttributeAccessIssue]
        request = make_request(tensors_of(make_tokens(), ASKED))
        host.service.tail = end  # pyright: ignore[reportAttributeAccessIssue]
        for _ in range(2):
            assert status_of(stub.ModelInfer, request)[0] is grpc.StatusCode.UNAVAILABLE
        assert not stub.ServerLive(protocol.ServerLiveRequest(), timeout=60).live
        assert not stub.ServerReady(protocol.ServerReadyRequest(), timeout=60).ready
        answer = check(health_pb2.HealthCheckRequest(), timeout=60)
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_a_taken_port_is_told_apart_from_a_free_one(folded: FoldedBlock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, BlockHost({"forecast": folded}) as host:
        with pytest.raises(InputError, match="cannot be listened at"):
            OipBlockServer(host, taken.getsockname()[1])
