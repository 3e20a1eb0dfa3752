"""The front door to ScanNet: a folder, recognised by its layout."""

from __future__ import annotations

from pathlib import Path

from perception.errors import InputError
from perception_datasets.scannet.official import OfficialScans, find_official_scans
from perception_datasets.scannet.preprocessed import PreprocessedScans, find_preprocessed_scans

Scans = OfficialScans | PreprocessedScans

LAYOUTS = """\
  ScanNet's own files    [scans/]<scene>/<scene>_vh_clean_2.ply with .txt, .segs.json, .aggregation.json
  preprocessed arrays    [scans/ or scannet_data/]<scene>_vert.npy with _sem_label.npy, _ins_label.npy
                         (of VoteNet, mmdetection3d, ScanQA or SQA3D, or made by `perception sample rooms`)"""


def open_scans(folder: Path) -> Scans:
    """The scans in a folder, whatever their format."""
    for find in (find_official_scans, find_preprocessed_scans):
        scans = find(folder)
        if scans is not None:
            return scans
    raise InputError(f"{folder}: expected scans in a known layout, found none; give a folder with one of\n{LAYOUTS}")
