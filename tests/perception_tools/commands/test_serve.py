from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from perception.frozen.adapter import FrozenBlockAdapter, build_adapter
from perception.frozen.folded import fold
from perception.frozen.folded_file import save_folded
from perception.tokens import Readout, Tokens
from perception_nodes.block.client import RemoteBlock
from perception_nodes.block.request import NoWorker
from perception_nodes.block.service import ServiceClosed
from perception_tools.main import main

grpc = pytest.importorskip("grpc", reason="the extra [oip] is not installed")
ASKED = Readout(torch.tensor([[0, 3], [4, 1]]))


@pytest.fixture(scope="module")
def adapter() -> FrozenBlockAdapter:
    torch.manual_seed(0)
    return build_adapter(16, source="random:64x96x4").requires_grad_(False)


@pytest.fixture(scope="module")
def folder(adapter: FrozenBlockAdapter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("folded")
    save_folded(fold(adapter), out, "forecast")
    return out


@contextmanager
def serving(folder: Path, *options: str, workers: int = 1) -> Iterator[list[tuple[subprocess.Popen[str], dict]]]:
    """Worker processes that are ready, and what each printed."""
    command = [sys.executable, "-m", "perception_tools.main", "serve", "block", str(folder), *options]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(workers)]
    try:
        yield [(process, json.loads(process.stdout.readline())) for process in processes if process.stdout]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def make_tokens(seed: int) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    return Tokens(torch.randn(2, 5, 16, generator=generator), torch.ones(2, 5, dtype=torch.bool))


def ask_from_threads(
    block: RemoteBlock, adapter: FrozenBlockAdapter, kill: Callable[[], None], threads: int = 4, each: int = 100
) -> list[int]:
    """How many right answers each request got, though `kill` happens when a third of them are through."""
    answers: list[list[Tensor]] = [[] for _ in range(threads * each)]

    def ask(first: int) -> None:
        for number in range(first, threads * each, threads):
            answers[number].append(block(make_tokens(number), ASKED))

    asking = [threading.Thread(target=ask, args=(first,)) for first in range(threads)]
    for thread in asking:
        thread.start()
    end = time.monotonic() + 60
    while sum(map(len, answers)) < threads * each // 3 and time.monotonic() < end:
        time.sleep(0.001)
    kill()
    for thread in asking:
        thread.join(60)
    right = []
    for number, got in enumerate(answers):
        alone = adapter(make_tokens(number), ASKED)
        right.append(sum(bool((answer - alone).norm() < 1e-5 * alone.norm()) for answer in got))
    return right


@pytest.mark.parametrize("transport", ["zenoh", "oip"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_request_is_lost_or_answered_twice_when_one_of_two_workers_ends(
    folder: Path, adapter: FrozenBlockAdapter, transport: str, number: signal.Signals, place: str
) -> None:
    from perception_nodes.block.oip_client import OipBlocks
    from perception_nodes.block.over_zenoh import ZenohBlocks
    from perception_nodes.ros.topics import open_session

    options = ["--zenoh", "--connect", place] if transport == "zenoh" else ["--oip", "0"]
    with open_session(connect=[], listen=[place]) as session, serving(folder, *options, workers=2) as workers:
        if transport == "zenoh":
            blocks = ZenohBlocks(session)
        else:
            blocks = OipBlocks([f"127.0.0.1:{ready['oip']}" for _, ready in workers])
        victim = workers[0][0]
        ended: list[float] = []

        def end_one() -> None:
            began = time.monotonic()
            victim.send_signal(number)
            victim.wait(60)
            ended.append(time.monotonic() - began)

        block = RemoteBlock(blocks, "forecast", timeout_s=30)
        block(make_tokens(0), ASKED)
        time.sleep(0.5)  # by now the client knows of both
        assert ask_from_threads(block, adapter, end_one) == [1] * 400
        blocks.close()
        assert ended[0] < 5
        assert victim.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 0)


def test_it_says_that_it_is_ready_and_shows_its_numbers(folder: Path) -> None:
    with serving(folder, "--oip", "0", "--metrics", "0", "--json-logs") as ((process, ready),):
        assert ready["serving"] == ["forecast"]
        with urllib.request.urlopen(f"http://127.0.0.1:{ready['metrics']}/readyz", timeout=60) as response:
            assert response.read() == b"ok\n"
        with urllib.request.urlopen(f"http://127.0.0.1:{ready['metrics']}/metrics", timeout=60) as response:
            assert b"perception_block_requests_total 0.0" in response.read()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_service_whose_thread_dies_ends_so_that_it_is_started_again(folder: Path) -> None:
    code = """
import sys

from perception_nodes.block.service import BlockService
from perception_tools.main import main


def end(self, batch):
    raise SystemExit


BlockService._compute = end
main(["serve", "block", sys.argv[1], "--oip", "0", "--json-logs"])
"""
    from perception_nodes.block.oip_client import OipBlocks

    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        blocks = OipBlocks([f"127.0.0.1:{json.loads(process.stdout.readline())['oip']}"])
        with pytest.raises((ServiceClosed, NoWorker)):
            RemoteBlock(blocks, "forecast", timeout_s=30)(make_tokens(0), ASKED)
        blocks.close()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the block service's thread has died" in errors


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "expected --zenoh or --oip PORT, got neither"),
        (["--oip", "0", "--threads", "0"], "--threads 0: expected at least 1"),
        (["--oip", "0", "--precision", "int8"], "--precision and --provider are of another backend"),
        (["--oip", "0", "--ca", "ca.pem"], "expected --ca, --certificate and --key together"),
        (["--oip", "0", "--oip-address", "0.0.0.0"], "0.0.0.0:0: expected a place on loopback"),
        (["--oip", "0", "--name", "forecats"], "expected forecats, found forecast"),
    ],
)
def test_a_mistake_is_said_in_one_sentence(
    folder: Path, options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "block", str(folder), *options]) == 2
    assert complaint in capsys.readouterr().err


def test_over_tls_a_block_answers_its_node_through_a_router_that_knows_the_deployment(
    folder: Path, adapter: FrozenBlockAdapter, tmp_path: Path, free_place: Callable[[str], str]
) -> None:
    from perception_nodes.block.over_zenoh import ZenohBlocks
    from perception_nodes.operations.deployment import read_deployment
    from perception_nodes.ros.topics import open_secure_session

    place = free_place("tls")
    file = tmp_path / "deployment.yaml"
    file.write_text(
        f"router: {{listen: {place}}}\nservice: {{folder: {folder}}}\nsecurity: {{certificates: tls}}\n"
        "nodes: {ego: {kind: forecast, checkpoint: run, block: forecast}}"
    )
    assert main(["certificates", str(file)]) == 0
    plan, tls = read_deployment(file), tmp_path / "tls"
    router = [sys.executable, "-m", "perception_tools.main", "serve", "router", "--config", str(file)]
    identity = ["--ca", tls / "ca.pem", "--certificate", tls / "block0.pem", "--key", tls / "block0.key"]
    with subprocess.Popen(router, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["router"] == place
            with serving(folder, "--zenoh", "--connect", place, *map(str, identity)) as ((_, ready),):
                assert ready["serving"] == ["forecast"]
                ego = plan.identity_of("ego")
                assert ego is not None
                with open_secure_session(place, ego) as session:
                    blocks = ZenohBlocks(session)
                    answer = RemoteBlock(blocks, "forecast", timeout_s=30)(make_tokens(1), ASKED)
                    blocks.close()
            alone = adapter(make_tokens(1), ASKED)
            assert (answer - alone).norm() < 1e-5 * alone.norm()
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_a_router_opens_again_with_its_renewed_certificate(tmp_path: Path, free_port: Callable[[], int]) -> None:
    file, tls = tmp_path / "deployment.yaml", tmp_path / "tls"
    port = free_port()
    file.write_text(f"router: {{listen: 'tls/127.0.0.1:{port}'}}\nsecurity: {{certificates: tls}}\n")
    assert main(["certificates", str(file)]) == 0
    router = [sys.executable, "-m", "perception_tools.main", "serve", "router", "--config", str(file)]
    with subprocess.Popen(router, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            first = json.loads(process.stdout.readline())
            (tls / "router.key").write_text("half of a copy")  # nothing happens before both files are good
            assert main(["certificates", str(file), "--host", "robot.lan"]) == 2
            (tls / "router.key").unlink()
            assert main(["certificates", str(file), "--host", "robot.lan"]) == 0
            second = json.loads(process.stdout.readline())
            assert second["router"] == first["router"]
            assert second["zenoh"] != first["zenoh"]
            shown = ssl.get_server_certificate(("127.0.0.1", port))
            assert shown == (tls / "router.pem").read_text()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
