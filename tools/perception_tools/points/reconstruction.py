"""What a pre-trained encoder makes of hidden parts of clouds: numbers, and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from jaxtyping import Float
from matplotlib.figure import Figure

from perception.files import whole_file
from perception.losses.reconstruction import chamfer_distance
from perception.models.point_masked_autoencoder import Reconstruction, copy_of_nearest
from perception_datasets.clouds.open_clouds import open_clouds
from perception_tools.classification.records import collate_validation
from perception_tools.json_files import write_json
from perception_tools.output_places import keep_apart
from perception_tools.points.data import ShownClouds
from perception_tools.points.pretraining import SCALE, fixed_seeds, load_autoencoder
from perception_tools.report.theme import COLOURS

PICTURE = "reconstruction.png"
BATCH = 64


@torch.inference_mode()
def analyse_reconstruction(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    data: Path,
    out: Path,
    split: str = "test",
    limit: int | None = 200,
    shown: int = 4,
) -> dict:
    """Scores and draws the hidden groups that a pre-trained encoder predicts: OUT/metrics.json, reconstruction.png.

    `chamfer` is the mean squared distance between predicted and true points of a hidden group, both ways summed, times
    1,000; `copy_of_nearest` is the same for the points of the nearest visible group.

    Args:
        run: Run's folder or model file of points/pretrain-….
        data: Folder or archive of the clouds.
        out: Folder for the files.
        split: Split to look at.
        limit: Look at this many clouds only, taken evenly from the classes.
        shown: Number of clouds in the picture.

    Raises:
        InputError: The model or the data cannot be used.
    """
    keep_apart([out], [data])
    model, recipe = load_autoencoder(run)
    clouds = open_clouds(data, split, variant=recipe.variant, limit=limit)
    seen = ShownClouds(clouds, model.input)
    own, copied, drawn = [], [], []
    unread: list[tuple[str, str]] = []
    for first in range(0, len(clouds), BATCH):
        batch = collate_validation([seen[index] for index in range(first, min(first + BATCH, len(clouds)))])
        unread += batch.unread
        if not len(batch.labels):
            continue
        found = model(batch.values, fixed_seeds(len(batch.values)))
        own.append(chamfer_distance(found.predicted, found.true))
        copied.append(chamfer_distance(copy_of_nearest(found), found.true))
        drawn += _rows(found)[: shown - len(drawn)]
    numbers = {
        "clouds": len(clouds) - len(unread),
        "split": split,
        "chamfer": float(SCALE * torch.cat(own).mean()),
        "copy_of_nearest": float(SCALE * torch.cat(copied).mean()),
        "unread": dict(unread),
    }
    write_json(out / "metrics.json", numbers)
    with whole_file(out / PICTURE) as temporary:
        _draw(drawn).savefig(temporary, format="png", dpi=110)
    print(
        f"hidden groups of {numbers['clouds']} clouds: Chamfer distance {numbers['chamfer']:.3f} (× 1,000), that of a"
    )
    print(f"copy of the nearest visible group {numbers['copy_of_nearest']:.3f}\n{out / PICTURE}")
    return numbers


Points = Float[np.ndarray, "points 3"]


def _rows(found: Reconstruction) -> list[tuple[Points, Points, Points]]:
    """Visible, true hidden and predicted hidden points of each cloud."""
    centres, hidden = found.groups.centres, int(found.masked[0].sum())
    size = found.predicted.shape[1:]
    whole = found.groups.points + centres.unsqueeze(2)
    predicted = found.predicted.view(-1, hidden, *size)
    return [
        (
            whole[cloud][~found.masked[cloud]].flatten(0, 1).numpy(),
            whole[cloud][found.masked[cloud]].flatten(0, 1).numpy(),
            (predicted[cloud] + centres[cloud][found.masked[cloud]].unsqueeze(1)).flatten(0, 1).numpy(),
        )
        for cloud in range(len(centres))
    ]


def _draw(clouds: list[tuple[Points, Points, Points]]) -> Figure:
    """A row for each cloud: what is seen, what is predicted beside it, and what is there."""
    figure = Figure(figsize=(8.4, 2.7 * len(clouds)), layout="constrained")
    grey, blue, orange = (COLOURS[name][0] for name in ("line0", "mode", "truth"))
    for row, (visible, true, predicted) in enumerate(clouds):
        columns = (
            ("what the encoder sees", None),
            ("what it predicts", (predicted, blue)),
            ("what is there", (true, orange)),
        )
        for column, (title, hidden) in enumerate(columns):
            axes: Any = figure.add_subplot(len(clouds), 3, 3 * row + column + 1, projection="3d")
            axes.scatter(*visible.T, s=2, color=grey)
            if hidden is not None:
                axes.scatter(*hidden[0].T, s=3, color=hidden[1])
            axes.set(xlim=(-0.8, 0.8), ylim=(-0.8, 0.8), zlim=(-0.8, 0.8))
            axes.set_box_aspect((1, 1, 1))
            axes.set_axis_off()
            if row == 0:
                axes.set_title(title, fontsize=9)
    return figure
