"""Turns a lanelet2 map in Boost's binary archive, the `data` of Autoware's LaneletMapBin, into an .osm file.

Only lanelet2 itself can read the archive. Its reader trusts lengths in the file, and knows only lanelet2's own
regulatory elements; so it runs in a process of its own with bounded memory, and what it cannot read is refused.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from perception_datasets.errors import RecordError, bad_file

MAX_MEMORY = 4 << 30
"""Bytes of address space for reading."""
MAX_SECONDS = 300.0
CURE = "give the .osm file that the map was loaded from"
_NO_WHEEL = 3
_DEGREES = (0.0, 0.0)
"""Where the points are put on the globe: their local coordinates go into tags, from which the map is read."""


def osm_of_binary(source: Path, out: Path) -> None:
    """Writes the map of a binary archive as .osm, with the local coordinates of its points.

    Needs the extra [maps].

    Raises:
        ModuleNotFoundError: lanelet2 is not installed.
        RecordError: lanelet2 cannot read the archive: it is damaged, was written by a later version of Boost, or has
            regulatory elements of Autoware's own.
    """
    words = [sys.executable, "-m", __name__, str(source), str(out)]
    try:
        finished = subprocess.run(words, capture_output=True, text=True, timeout=MAX_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise bad_file(source, f"expected lanelet2 to read it within {MAX_SECONDS:g} s, it did not", CURE) from None
    if finished.returncode == _NO_WHEEL:
        raise ModuleNotFoundError("No module named 'lanelet2'", name="lanelet2")
    if finished.returncode != 0 or not out.is_file():
        lines = finished.stderr.strip().splitlines() or [f"its reader ended with {finished.returncode}"]
        reason = f"expected an archive that lanelet2 can read, found another ({lines[-1][:300]})"
        raise _refusal(source, reason)


def _refusal(source: Path, reason: str) -> RecordError:
    return bad_file(source, reason, CURE)


def _convert(source: str, out: str) -> int:
    """Runs in the process of its own; returns its exit status."""
    try:
        import lanelet2  # noqa: F401
        from lanelet2 import io, projection
    except ModuleNotFoundError:
        return _NO_WHEEL
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.RLIM_INFINITY))
    projector = projection.LocalCartesianProjector(io.Origin(*_DEGREES))
    try:
        lanelets = io.load(source, projector)
        for point in lanelets.pointLayer:
            point.attributes["local_x"], point.attributes["local_y"] = repr(point.x), repr(point.y)
            point.x = point.y = 0.0
        io.write(out, lanelets, projector)
    except (RuntimeError, MemoryError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_convert(*sys.argv[1:]))
