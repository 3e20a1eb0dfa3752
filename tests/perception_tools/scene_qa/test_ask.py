from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from perception_nodes.ros.messages import ASK_SCENE, service_of
from perception_nodes.ros.topics import RosNode
from perception_nodes.ros.wire import RmwZenoh
from perception_tools.main import main

if TYPE_CHECKING:
    import zenoh


@pytest.mark.usefixtures("scene_node")
def test_a_running_node_is_asked_and_its_answer_is_printed_and_written(
    router: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["ask", "Is it red?", "--situation", "I face the bed.", "--connect", router, "--timeout-s", "30"]
    assert main([*words, "--json", str(tmp_path / "a.json")]) == 0
    told = json.loads((tmp_path / "a.json").read_text())
    first, *others = capsys.readouterr().out.splitlines()
    assert (told["status"], told["model"]) == ("ok", "tiny")
    assert first == f"{told['answer']} ({told['confidence']:.2f})"
    assert told["alternatives"]
    assert told["evidence"]
    assert 0 < told["latency_ms"] <= told["round_trip_ms"]
    assert f"{told['latency_ms']:.0f} ms in the node, {told['round_trip_ms']:.0f} ms in all" in others[-1]


def complaint(words: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said in the end: on a busy machine a node is found late."""
    told = ""
    for seconds in ("1", "3", "10"):
        assert main([*words, seconds]) == 2
        told = capsys.readouterr().err
        if part in told:
            break
    return told


def test_where_there_is_no_node_that_is_said_and_where_there_is_another_its_name(
    session: zenoh.Session, router: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["ask", "Is it red?", "--connect", router, "--timeout-s", "0.3"]
    assert main(words) == 2
    said = "perception ask: /scene_qa/ask: expected a node that answers it in domain 0, found none within 0.3 s; "
    assert capsys.readouterr().err == f"{said}start a node of kind scene-qa with `perception up`\n"
    with RosNode(session, RmwZenoh()) as ros:
        ros.serve(service_of("/hal/ask", ASK_SCENE), lambda *_: None)
        told = complaint(words[:-1], "give --service /hal/ask", capsys)
    assert "s; give --service /hal/ask" in told


def test_a_node_that_does_not_answer_in_time_is_told_from_none(
    session: zenoh.Session, router: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with RosNode(session, RmwZenoh()) as ros:
        ros.serve(service_of("/scene_qa/ask", ASK_SCENE), lambda *_: None)
        told = complaint(["ask", "Is it red?", "--connect", router, "--timeout-s"], "did not answer", capsys)
    assert "s; give more --timeout-s" in told


def test_without_a_router_and_with_no_time_there_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "Is it red?", "--connect", "tcp/127.0.0.1:9"]) == 2
    assert "expected a router, found nobody who listens" in capsys.readouterr().err
    assert main(["ask", "Is it red?", "--timeout-s", "0"]) == 2
    assert "expected seconds above 0" in capsys.readouterr().err
