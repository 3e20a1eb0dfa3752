"""Opens pictures: detects the format of a file or folder by its content."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from perception.errors import InputError, first_of
from perception_datasets.images.decoding import Decoding
from perception_datasets.images.image_folder import find_image_folder
from perception_datasets.images.layout import check_split_path, is_picture, names_of_split, walk
from perception_datasets.images.parquet_pictures import find_parquet
from perception_datasets.images.records import Pictures
from perception_datasets.images.tar_pictures import find_tar

LAYOUTS = """\
  ImageFolder      [{split}/]<class>/<picture>
  side by side     [{split}/]<picture>, labelled by labels.csv, metadata.csv, val_annotations.txt, LOC_val_solution.csv,
                   or ILSVRC2012_validation_ground_truth.txt with meta.mat, map_clsloc.txt or WordNet ids
  tar              *.tar with {split}/<class>/<picture>, or with <class>/<picture> and the split in the archive's name
  WebDataset       {split}-000000.tar … with <key>.jpg and <key>.cls or <key>.json
  Parquet          [data/]{split}-*.parquet with image {{bytes, path}} and label, as Hugging Face writes it"""


def open_pictures(
    path: Path,
    split: str,
    *,
    classes: Sequence[str] | None = None,
    decoding: Decoding | None = None,
    limit: int | None = None,
) -> Pictures:
    """Opens one split of a data set of pictures; reads names and labels, and no picture.

    Args:
        path: Folder of the data set, or an archive.
        split: `train`, `val` or `test`, or another name that a folder has; `val` finds `validation` too. Pictures
            without a split level are those of the split that their folder's or archive's own name says; of any of the
            three if it says none.
        classes: Names of all classes by label, such as `read_class_list("imagenet1k")` or the `classes` of the training
            split. If not given, those of this split in alphabetical order, as in torchvision.
        decoding: How pictures are decoded.
        limit: Maximum number of pictures, taken evenly from the classes.

    Returns:
        The pictures; their `layout` says what was found.

    Raises:
        InputError: There is no such path, its layout is not known, or it leaves a picture's split or class open.
    """
    path, decoding = Path(path), decoding or Decoding()
    check_split_path(split)
    if not path.exists():
        raise InputError(f"{path}: expected pictures, found no such file or folder; check the path")
    found = _find(path, split, classes, decoding)
    if found is None:
        shown = first_of(sorted(entry.name for entry in path.iterdir())) if path.is_dir() else "a file of another kind"
        raise InputError(
            f"{path}: expected pictures of split {split!r} in a known layout, found {shown or 'an empty folder'}; give "
            f"one of\n{LAYOUTS.format(split=split)}"
        )
    return found.limited(limit)


def _find(path: Path, split: str, classes: Sequence[str] | None, decoding: Decoding) -> Pictures | None:
    """Returns the pictures; a folder of the split's name comes before archives beside it."""
    finders = [find_tar, find_parquet]
    if path.is_dir():
        own = [path / name for name in names_of_split(split) if (path / name).is_dir()]
        finders.insert(0 if own and any(map(is_picture, walk(own[0]))) else 2, find_image_folder)
    return next((found for find in finders if (found := find(path, split, classes, decoding)) is not None), None)
