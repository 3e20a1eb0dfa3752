"""`perception mcap`: care for recordings, and play them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from perception.errors import InputError
from perception_tools.joining import joined


def recover_recording(
    source: Annotated[Path, Positional, arg(metavar="IN")], out: Annotated[Path, Positional, arg(metavar="OUT")]
) -> None:
    """Save what is in an MCAP recording that was cut off, by kill -9 or a full disk, or damaged.

    Args:
        source: The broken file, such as NAME.mcap.partial. It is only read.
        out: The whole file to write, such as NAME.mcap.
    """
    from perception_nodes.recordings.recovery import recover

    saved = recover(source, out)
    print(f"{out} holds {saved.messages} messages of {', '.join(saved.topics)}")
    if saved.complete and not saved.damaged_chunks:
        print(f"{source} was whole: nothing was missing")
    elif not saved.complete:
        print(f"{source} was cut off; {saved.unread_bytes} bytes at its end could not be read")
    if saved.damaged_chunks:
        print(
            f"{saved.damaged_chunks} damaged chunks were left out, "
            f"and {saved.nameless_messages} messages that are nameless without them"
        )


def play_recordings(
    recordings: Annotated[Positional[tuple[Path, ...]], arg(metavar="RECORDING...")],
    topics: tuple[str, ...] = (),
    rate: float = 1.0,
    loop: bool = False,
    stay: bool = True,
    clock: bool = False,
    domain: int = 0,
    connect: str | None = None,
    config: Path | None = None,
    name: str = "player",
) -> dict:
    """Play recordings to a robot's topics, as `ros2 bag play` does, with the quality of service that they state.

    Messages go out as they were recorded, stamps included. Latched ones, such as the map of `perception map convert`,
    come first and reach subscriptions that join later, while this command runs.

    Args:
        recordings: MCAP files, rosbag2 folders and rosbag2 databases, which are played one after the other.
        topics: Topics to play; all by default.
        rate: Pace as a multiple of the recorded one; `inf` does not wait.
        loop: Begin again at the end, until SIGTERM.
        stay: Where there is a latched topic, stay after the end until SIGTERM, so that it lasts.
        clock: Publish the recorded time on /clock, for nodes with `use_sim_time`; others refuse old stamps.
        domain: ROS_DOMAIN_ID.
        connect: Endpoint of the router; by default that of the deployment, or tcp/127.0.0.1:7447.
        config: The deployment's file; needed where it has `security`.
        name: Name of this process, in the deployment's `security` under `others`.
    """
    from perception_nodes.operations.endpoints import StopSignal
    from perception_nodes.recordings.player import Player, playable
    from perception_nodes.ros.topics import RosNode
    from perception_nodes.ros.wire import RmwZenoh

    if not recordings:
        raise InputError("mcap play: expected at least one recording, got none; give one")
    chosen = [playable(path, topics) for path in recordings]
    with (
        StopSignal() as stop,
        joined(connect, config, name) as session,
        RosNode(session, RmwZenoh(node=name, domain=domain)) as ros,
    ):
        player = Player(ros, chosen, rate=rate, wait=stop.within, clock=clock)
        print(f"plays {', '.join(sorted({t.name for each in chosen for t in each.topics}))}", flush=True)
        whole = player.play()
        while whole and loop:
            whole = player.play()
        print(f"played {player.played.total()} messages", flush=True)
        if whole and stay and player.latches:
            print("stays for the latched topics; SIGTERM or Ctrl+C ends it", flush=True)
            stop.wait()
        return {"messages": dict(sorted(player.played.items())), "whole": whole}
