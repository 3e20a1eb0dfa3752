from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import torch
import zenoh

from perception.frozen.adapter import build_adapter
from perception.frozen.folded import fold
from perception.tokens import Readout, Tokens
from perception_nodes.block.client import RemoteBlock
from perception_nodes.block.host import BlockHost
from perception_nodes.block.over_zenoh import ZenohBlocks, ZenohBlockWorker
from perception_nodes.block.request import NoWorker
from perception_nodes.operations.access import access_control, grants_of
from perception_nodes.operations.deployment import Deployment, read_deployment
from perception_nodes.operations.router import open_secure_router
from perception_nodes.ros.messages import POLYLINE_MAP, PREDICTED_OBJECTS, TRACKED_OBJECTS, topic_of
from perception_nodes.ros.topics import RosNode, open_secure_session
from perception_nodes.ros.wire import LATCHED, RmwZenoh
from perception_nodes.security.authority import make_certificates

TEXT = """
router: {listen: PLACE}
service: {folder: folded, pipelines: [forecast]}
nodes:
  ego: {kind: forecast, checkpoint: run, block: forecast}
  mapper: {kind: scene-qa, checkpoint: run}
  reader: {kind: scene-qa, checkpoint: run, scan: room.ply, domain: 3, block: forecast}
foxglove: {domain: 3}
security:
  certificates: certificates
  others:
    tracker: {publishes: [/perception/object_recognition/tracking/objects, /map/polylines]}
    planner: {subscribes: [/perception/object_recognition/objects]}
"""
OBJECTS = topic_of("/perception/object_recognition/tracking/objects", TRACKED_OBJECTS)
MAP = topic_of("/map/polylines", POLYLINE_MAP, LATCHED)
FORECASTS = topic_of("/perception/object_recognition/objects", PREDICTED_OBJECTS)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, free_place: Callable[[str], str]) -> Deployment:
    folder = tmp_path_factory.mktemp("deployment")
    (folder / "deployment.yaml").write_text(TEXT.replace("PLACE", free_place("tls")))
    plan = read_deployment(folder / "deployment.yaml")
    assert plan.security is not None
    make_certificates(plan.security.certificates, plan.names, server="router")
    return plan


@pytest.fixture(scope="module")
def session(deployment: Deployment) -> Iterator[Callable[[str], zenoh.Session]]:
    """Opens the session of a process at a running router."""
    router = deployment.identity_of("router")
    assert router is not None
    with ExitStack() as open_:
        access = access_control(grants_of(deployment))
        open_.enter_context(open_secure_router(deployment.router.listen, router, access))

        def session_of(name: str) -> zenoh.Session:
            identity = deployment.identity_of(name)
            assert identity is not None
            return open_.enter_context(open_secure_session(deployment.router.place, identity))

        yield session_of


@pytest.fixture
def node(session: Callable[[str], zenoh.Session]) -> Iterator[Callable[[str], RosNode]]:
    """Opens a process's ROS node."""
    with ExitStack() as open_:
        yield lambda name: open_.enter_context(RosNode(session(name), RmwZenoh(node=name)))


def test_each_process_may_do_what_its_part_of_the_deployment_needs(deployment: Deployment) -> None:
    grants = grants_of(deployment)
    assert list(grants) == ["block0", "ego", "mapper", "reader", "foxglove", "tracker", "planner"]
    assert grants["block0"].answers == ("blk/forecast/*/infer",)
    assert grants["block0"].publishes == grants["block0"].subscribes == grants["block0"].asks == ()
    assert grants["ego"].asks == ("blk/forecast/*/infer",)
    assert grants["ego"].watches == ("blk/forecast/*/alive",)
    assert "0/localization/kinematic_state/*/*" in grants["ego"].subscribes
    assert "0/diagnostics/*/*" in grants["ego"].publishes
    assert grants["planner"].subscribes[0] == "0/perception/object_recognition/objects/*/*"
    assert grants["planner"].publishes == ()
    assert "0/sensing/lidar/concatenated/pointcloud/*/*" in grants["mapper"].subscribes
    assert grants["mapper"].asks == ()
    assert grants["reader"].subscribes == ("3/scene_qa/questions/*/*",)
    assert grants["reader"].answers == ("3/scene_qa/ask/*/*",)
    assert grants["reader"].asks == ("blk/forecast/*/infer",)
    seen = ("3/scene_qa/questions/*/*", "3/scene_qa/answers/*/*", "3/diagnostics/*/*")
    assert grants["foxglove"].subscribes == seen
    assert grants["foxglove"].publishes == ("3/diagnostics/*/*",)
    assert grants["foxglove"].asks == grants["foxglove"].answers == ()


def test_messages_go_from_whom_they_should_to_whom_they_should_and_from_nobody_else(
    node: Callable[[str], RosNode],
    eventually: Callable[..., None],
) -> None:
    tracker, ego, planner, block = map(node, ("tracker", "ego", "planner", "block0"))
    objects, maps, forecasts, spied = (queue.Queue[bytes]() for _ in range(4))
    map_publisher = tracker.publisher(MAP)
    map_publisher.put(b"latched")
    ego.subscribe(MAP, lambda received: maps.put(received.cdr))
    assert maps.get(timeout=60) == b"latched"  # though it was sent before
    ego.subscribe(OBJECTS, lambda received: objects.put(received.cdr))
    planner.subscribe(FORECASTS, lambda received: forecasts.put(received.cdr))
    for spy, topic in ((planner, OBJECTS), (block, OBJECTS), (block, FORECASTS), (tracker, FORECASTS)):
        spy.subscribe(topic, lambda received: spied.put(received.cdr))
    true_objects, true_forecasts = tracker.publisher(OBJECTS), ego.publisher(FORECASTS)
    eventually(lambda: true_objects.put(b"true") or not objects.empty())
    eventually(lambda: true_forecasts.put(b"true") or not forecasts.empty())

    announced = {entity.node for entity in planner.others_at(FORECASTS.name)}  # as `ros2 topic info` would say
    assert announced == {"/ego", "/tracker"}, "the block is no ROS node, whatever it says"

    block.publisher(OBJECTS).put(b"forged")
    planner.publisher(OBJECTS).put(b"forged")
    tracker.publisher(FORECASTS).put(b"forged")
    block.publisher(MAP).put(b"forged")
    for publisher, inbox in ((true_objects, objects), (true_forecasts, forecasts), (map_publisher, maps)):
        for control in (b"control", b"another"):
            publisher.put(control)
        heard = [inbox.get(timeout=60)]
        while heard[-1] != b"another":
            heard.append(inbox.get(timeout=60))
        assert b"forged" not in heard
    assert set(spied.queue) <= {b"forged"}  # a session receives its own messages


def test_the_block_answers_the_node_that_is_to_ask_it_and_no_other(session: Callable[[str], zenoh.Session]) -> None:
    torch.manual_seed(0)
    adapter = build_adapter(16, source="random:64x96x4").requires_grad_(False)
    host = BlockHost({"forecast": fold(adapter)})
    tokens, asked = Tokens(torch.randn(2, 5, 16), torch.ones(2, 5, dtype=torch.bool)), Readout(torch.tensor([[0], [1]]))
    blocks, others = ZenohBlocks(session("ego")), ZenohBlocks(session("tracker"))
    with ZenohBlockWorker(session("block0"), host, "true"), ZenohBlockWorker(session("planner"), host, "false"):
        alone = adapter(tokens, asked)
        for _ in range(10):
            answer = RemoteBlock(blocks, "forecast", timeout_s=20)(tokens, asked)
            assert (answer - alone).norm() < 1e-6 * alone.norm()
        with pytest.raises(NoWorker):
            RemoteBlock(others, "forecast", timeout_s=0.5)(tokens, asked)
        replies = list(session("tracker").get("blk/forecast/true/infer", payload=b"", timeout=2.0))
        assert replies == []
        assert [worker for pipeline in blocks._pipelines.values() for worker in pipeline._live] == ["true"]
    assert host.service.counts.requests == 10
    blocks.close()
    others.close()


def test_who_is_not_in_the_deployment_may_do_nothing(
    deployment: Deployment, node: Callable[[str], RosNode], eventually: Callable[..., None]
) -> None:
    assert deployment.security is not None
    make_certificates(deployment.security.certificates, ["guest"], server="router")
    heard: queue.Queue[bytes] = queue.Queue()
    ego, tracker, guest = map(node, ("ego", "tracker", "guest"))
    ego.subscribe(OBJECTS, lambda received: heard.put(received.cdr))
    objects = tracker.publisher(OBJECTS)
    eventually(lambda: objects.put(b"true") or not heard.empty())
    guest.publisher(OBJECTS).put(b"forged")
    eventually(lambda: objects.put(b"control") or b"control" in heard.queue)
    assert b"forged" not in heard.queue
