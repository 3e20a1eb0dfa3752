"""`perception mcap`: care for recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


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
