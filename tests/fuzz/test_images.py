"""Damaged pictures, archives, Parquet files, labels and masks."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy.io import savemat

from perception_datasets.errors import Failures, RecordError
from perception_datasets.images.cropping import RandomResizedCrop
from perception_datasets.images.flat_labels import GROUND_TRUTH, find_labels
from perception_datasets.images.imagenet_s import decode_mask
from perception_datasets.images.masks import open_masks
from perception_datasets.images.open_pictures import open_pictures
from perception_datasets.images.records import FilePlace, PictureRecord

Fuzz = Callable[..., None]
FORMATS = {
    "a.jpg": ("JPEG", "RGB", {}),
    "b.jpg": ("JPEG", "RGB", {"progressive": True}),
    "c.jpg": ("JPEG", "CMYK", {}),
    "d.png": ("PNG", "RGB", {}),
    "e.png": ("PNG", "P", {"transparency": 3}),
    "f.webp": ("WEBP", "RGB", {}),
    "g.gif": ("GIF", "P", {}),
    "h.bmp": ("BMP", "RGB", {}),
    "i.tif": ("TIFF", "RGB", {}),
    "j.ppm": ("PPM", "RGB", {}),
}


def encoded(format: str = "JPEG", mode: str = "RGB", seed: int = 0, **options: object) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((40, 36)).convert(mode).save(file, format, **options)
    return file.getvalue()


def _read(folder: Path, split: str) -> None:
    """Decodes every picture, and a crop of each; those that cannot be are counted."""
    pictures, failures = open_pictures(folder, split), Failures()
    kept = [record for record, _ in pictures.read_all(failures.add)]
    assert len(kept) + len(failures) == len(pictures)
    for record in kept:
        pictures.decode_crop(record, RandomResizedCrop(16), np.random.default_rng(0))


def _read_pictures(folder: Path) -> None:
    _read(folder, "test")


def _read_archives(folder: Path) -> None:
    _read(folder / "plain", "train")
    _read(folder / "shards", "train")


def _read_parquet(folder: Path) -> None:
    _read(folder, "train")


def _read_labels(folder: Path) -> None:
    validation = ["ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000003.JPEG"]
    for place in ("mat", "text", "kaggle"):
        find_labels(folder / place, validation)
    find_labels(folder / "tiny", ["val_0.JPEG"])
    find_labels(folder / "csv", ["x.jpg"])


def _read_masks(folder: Path) -> None:
    path = folder / "a.png"
    decode_mask(path.read_bytes() if path.exists() else b"", path, 50)


def _read_targets(folder: Path) -> None:
    for name in ("test.csv", "instances_val.json"):
        if (folder / name).exists():
            masks, failures = open_masks(folder / name, "test"), Failures()
            for picture in ("a.jpg", "b.jpg"):
                try:
                    masks.read(PictureRecord(picture, None, None, FilePlace(folder / picture)), 12, 16)
                except RecordError as error:
                    failures.add(picture, error)


def test_damaged_pictures_are_read_or_counted(fuzz: Fuzz, tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    for name, (format, mode, options) in FORMATS.items():
        (seeds / name).write_bytes(encoded(format, mode, **options))
    fuzz(_read_pictures, seeds)


def test_damaged_archives_are_read_or_refused(fuzz: Fuzz, tmp_path: Path) -> None:
    long = "train/dog/" + "d" * 120 + "é.jpg"
    plain = {"train/cat/1.jpg": encoded(), long: encoded(seed=1)}
    shard = {"a.jpg": encoded(), "a.cls": b"0", "b.jpg": encoded(seed=1), "b.json": b'{"label": 1}'}
    for name, members, format in (
        ("plain/pax.tar", plain, tarfile.PAX_FORMAT),
        ("plain/gnu.tar", {name.replace("1.jpg", "2.jpg"): data for name, data in plain.items()}, tarfile.GNU_FORMAT),
        ("shards/train-000000.tar", shard, tarfile.GNU_FORMAT),
    ):
        (tmp_path / "seeds" / name).parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(tmp_path / "seeds" / name, "w", format=format) as archive:
            for member, data in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    (tmp_path / "seeds" / "shards" / "classes.txt").write_text("cat\ndog\n")
    fuzz(_read_archives, tmp_path / "seeds")


def test_damaged_parquet_files_are_read_or_refused(fuzz: Fuzz, tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pictures = pa.array([{"bytes": encoded(seed=i), "path": f"{i}.jpg"} for i in range(3)], kind)
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    table = pa.table({"image": pictures, "label": [0, 1, 0]})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, seeds / "train.parquet", row_group_size=2)
    fuzz(_read_parquet, seeds)


def test_damaged_labels_are_read_or_refused(fuzz: Fuzz, tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    for place in ("mat", "text", "kaggle", "tiny", "csv"):
        (seeds / place).mkdir(parents=True)
    for place in ("mat", "text"):
        (seeds / place / GROUND_TRUTH).write_text("2\n1\n2\n")
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")]
    rows = np.array([(1, "n02119789", 0), (2, "n02100735", 0)], dtype=fields)[:, None]
    savemat(seeds / "mat" / "meta.mat", {"synsets": rows})
    (seeds / "text" / "map_clsloc.txt").write_text("n02119789 1 kit_fox\nn02100735 2 English_setter\n")
    (seeds / "kaggle" / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\nILSVRC2012_val_00000001,n02119789 1 2\nILSVRC2012_val_00000003,n02100735 1 2\n"
    )
    (seeds / "tiny" / "val_annotations.txt").write_text("val_0.JPEG\tn02119789\t0\t1\t2\t3\n")
    (seeds / "csv" / "labels.csv").write_text("file,label\nx.jpg,cat\n")
    fuzz(_read_labels, seeds)


def test_damaged_masks_are_read_or_refused(fuzz: Fuzz, tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    Image.fromarray(np.full((8, 8, 3), (7, 0, 0), np.uint8)).save(seeds / "a.png")
    fuzz(_read_masks, seeds)


def test_damaged_boxes_and_polygons_are_read_or_refused(fuzz: Fuzz, tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    (seeds / "test.csv").write_text("file,x0,y0,x1,y1\ntest/a.jpg,1,2,9,7\na.jpg,0,0,3,3\nb.jpg,4,4,15,11\n")
    objects = [
        {"image_id": 1, "iscrowd": 0, "segmentation": [[1, 1, 9, 1, 9, 8.5, 1, 8]]},
        {"image_id": 1, "iscrowd": 1, "bbox": [0, 0, 4.5, 5], "segmentation": {"counts": [3, 5], "size": [12, 16]}},
        {"image_id": 2, "iscrowd": 0, "segmentation": [[0, 0, 5, 5, 0, 5]]},
    ]
    images = [{"id": n, "file_name": f"{name}.jpg", "height": 12, "width": 16} for n, name in ((1, "a"), (2, "b"))]
    (seeds / "instances_val.json").write_text(json.dumps({"images": images, "annotations": objects}))
    fuzz(_read_targets, seeds)
