from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from perception_tools.main import main


def test_a_node_of_a_deployment_starts_is_asked_how_it_is_and_stops(trained_run: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"tcp/127.0.0.1:{free.getsockname()[1]}"
    config = tmp_path / "deployment.yaml"
    ego = f"{{checkpoint: {trained_run}, precision: int8_dynamic, metrics: 0}}"
    config.write_text(f"router: {{listen: {place}}}\nnodes:\n  ego: {ego}\n")
    command = [sys.executable, "-m", "perception_tools.main", "node", "forecast", "--config", str(config)]
    with subprocess.Popen([*command, "--name", "ego"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["node"] == "ego"
            address = f"http://127.0.0.1:{ready['metrics']}"
            with urllib.request.urlopen(f"{address}/livez", timeout=5) as response:
                assert response.read() == b"ok\n"
            with pytest.raises(urllib.error.HTTPError, match="503") as unready:
                urllib.request.urlopen(f"{address}/readyz", timeout=5)
            assert unready.value.read() == b"no frame yet\n"
            unready.value.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
        finally:
            process.kill()


def test_a_node_that_the_file_does_not_know_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "deployment.yaml"
    config.write_text("nodes: {ego: {checkpoint: run}}")
    assert main(["node", "forecast", "--config", str(config)]) == 2
    assert "expected the node 'forecast', found ego" in capsys.readouterr().err
