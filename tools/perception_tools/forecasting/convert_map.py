"""`perception map convert`: the map of a robot or of a data set in the form that a node latches."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from perception.errors import InputError
from perception.traffic.scenario import PolylineKind
from perception_nodes.forecasting.plan import MAP
from perception_tools.forecasting.map_sources import Coordinates, read_source
from perception_tools.output_places import keep_apart

if TYPE_CHECKING:
    from perception.traffic.scenario import MapPolylines


def convert_map(
    source: Annotated[Path, Positional, arg(metavar="SOURCE")],
    out: Annotated[Path, Positional, arg(metavar="OUT")],
    picture: Path | None = None,
    projector: Coordinates = "auto",
    origin: tuple[float, float] | None = None,
    name: str | None = None,
    topic: str = MAP,
    frame: str = "map",
) -> dict:
    """Convert a map to the forecast_msgs/PolylineMap that a forecasting node subscribes to.

    `perception mcap play OUT` and `ros2 bag play OUT` then latch it on its topic.

    Args:
        source: NAME.osm of lanelet2, as Autoware has it, or the folder with lanelet2_map.osm; Argoverse 1's
            pruned_argoverse_CITY_vector_map.xml; Argoverse 2's log_map_archive_*.json; a recording (.mcap, .db3 or a
            rosbag2 folder) with a LaneletMapBin, which needs the extra [maps], or with a PolylineMap; or NAME.bin of
            lanelet2, which needs [maps] too.
        out: NAME.mcap for a recording of the latched message, NAME.cdr for the message alone.
        picture: PNG file to draw the map to; needs the extra [report].
        projector: Where the coordinates of a lanelet2 map come from: `tags` are the points' local_x and local_y, the
            others project latitude and longitude as Autoware's projector of that name does. `auto` takes the tags, and
            without them what map_projector_info.yaml beside the map says.
        origin: Latitude and longitude of the projector's origin in degrees; `mgrs` needs none.
        name: Name of the map; by default that of its city or file.
        topic: Topic that the recording latches it on: the node's `map` in the deployment's file.
        frame: Frame of the coordinates, that of the odometry.
    """
    from perception_nodes.recordings.map_file import write_map_file

    keep_apart([path for path in (out, picture) if path is not None], [source])
    found = read_source(source, projector, origin)
    polylines = found.index.polylines
    if not len(polylines):
        raise InputError(f"{source}: expected lanes or crosswalks, found none; give another map")
    name = name or found.name
    write_map_file(out, found.index, name, topic=topic, frame_id=frame)
    summary = _summary(polylines) | {"map": name, "coordinates": found.coordinates, "left_out": dict(found.left_out)}
    print(_sentence(out, summary))
    if picture is not None:
        from perception_tools.forecasting.report.map_picture import draw_map_picture

        draw_map_picture(picture, polylines, name)
        print(picture.resolve().as_uri())
    return summary


def _summary(polylines: MapPolylines) -> dict:
    kinds = Counter(PolylineKind(kind).name.lower() for kind in polylines.kinds.tolist())
    low, high = polylines.points.min(axis=(0, 1)), polylines.points.max(axis=(0, 1))
    return {
        "polylines": len(polylines),
        "kinds": dict(sorted(kinds.items())),
        "in_intersections": int(polylines.is_intersection.sum()),
        "with_traffic_control": int(polylines.has_traffic_control.sum()),
        "x_m": [float(low[0]), float(high[0])],
        "y_m": [float(low[1]), float(high[1])],
    }


def _sentence(out: Path, summary: dict) -> str:
    kinds = ", ".join(f"{count} {name}" for name, count in summary["kinds"].items())
    (left, right), (bottom, top) = summary["x_m"], summary["y_m"]
    text = (
        f"{out}: {summary['polylines']} polylines ({kinds}), {summary['in_intersections']} in intersections, "
        f"{summary['with_traffic_control']} with traffic control; x {left:.1f} to {right:.1f} m, "
        f"y {bottom:.1f} to {top:.1f} m, from {summary['coordinates']}"
    )
    left_out = ", ".join(f"{count} {name}" for name, count in summary["left_out"].items())
    return f"{text}; left out: {left_out}" if left_out else text
