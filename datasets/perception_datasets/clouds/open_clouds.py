"""Opens labelled point clouds: detects the format of a file or folder by its content."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from perception.errors import InputError, first_of
from perception_datasets.clouds.argoverse2_objects import find_argoverse2_objects
from perception_datasets.clouds.cloud_folder import find_folder
from perception_datasets.clouds.hdf5 import Variant, find_hdf5
from perception_datasets.clouds.listed import find_modelnet_text, find_shapenet55
from perception_datasets.clouds.records import Clouds
from perception_datasets.clouds.voxels import find_voxels
from perception_datasets.folders import check_split

LAYOUTS = """\
  ModelNet as text      modelnet40_{split}.txt, modelnet40_shape_names.txt, <class>/<name>.txt
  ModelNet40 in HDF5    {split}_files.txt with ply_data_*.h5, shape_names.txt
  ScanObjectNN          main_split[_nobg]/*_objectdataset[_augmentedrot_scale75].h5
  ShapeNet-55           shapenet_pc/*.npy, ShapeNet-55/{split}.txt
  voxels                modelnet10_voxels.npz
  Argoverse 2           [{split}/]<log>/annotations.feather, <log>/sensors/lidar/*.feather
  folders, or one .tar  {split}/<class>/<file> or <class>/{split}/<file>: .off .obj .ply .pcd .las .bin .npy .txt .xyz
  cut out of sweeps     <frame>_<Class>_<number>.bin (KITTI's x, y, z, intensity)"""


def open_clouds(
    path: Path,
    split: str,
    *,
    classes: Sequence[str] | None = None,
    variant: Variant | None = None,
    limit: int | None = None,
) -> Clouds:
    """Opens one split of a data set of labelled clouds; reads names and labels.

    Args:
        path: Folder of the data set, or an archive.
        split: `train`, `val` or `test`, or another name that a folder has.
        classes: Names of all classes by label, such as the `classes` of the training split. By default those that the
            data set lists; otherwise those of this split in alphabetical order.
        variant: Variant of ScanObjectNN, where several are there.
        limit: Maximum number of clouds, taken evenly from the classes.

    Returns:
        The clouds; their `layout` says what was found.

    Raises:
        InputError: There is no such path or split, or its layout is not known.
    """
    path = Path(path)
    check_split(split)
    if not path.exists():
        raise InputError(f"{path}: expected point clouds, found no such file or folder; check the path")
    in_hdf5 = partial(find_hdf5, variant=variant)
    finders = (find_voxels, find_modelnet_text, find_shapenet55, find_argoverse2_objects, in_hdf5, find_folder)
    found = next((clouds for find in finders if (clouds := find(path, split, classes)) is not None), None)
    if found is None:
        shown = first_of(sorted(entry.name for entry in path.iterdir())) if path.is_dir() else "a file of another kind"
        raise InputError(
            f"{path}: expected clouds of split {split!r} in a known layout, found {shown or 'an empty folder'}; give "
            f"one of\n{LAYOUTS.format(split=split)}"
        )
    return found.limited(limit)
