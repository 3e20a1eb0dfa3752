"""Opens ScanNet scans: detects the format of a folder by its layout."""

from __future__ import annotations

from pathlib import Path

from perception.errors import InputError
from perception_datasets.scannet.official import OfficialScans, find_official_scans
from perception_datasets.scannet.preprocessed import PreprocessedScans, find_preprocessed_scans

Scans = OfficialScans | PreprocessedScans

LAYOUTS = """\
  ScanNet's own files    [scans/]<scene>/<scene>_vh_clean_2.ply with .txt, .segs.json, .aggregation.json
  preprocessed arrays    [scans/ or scannet_data/]<scene>_vert.npy with _sem_label.npy, _ins_label.npy
                         (from VoteNet, mmdetection3d, ScanQA, SQA3D or `perception sample rooms`)"""


def open_scans(folder: Path) -> Scans:
    """Opens the scans in a folder in any of the known formats.

    Raises:
        InputError: The folder has none of the known layouts.
    """
    for find in (find_official_scans, find_preprocessed_scans):
        scans = find(folder)
        if scans is not None:
            return scans
    raise InputError(f"{folder}: expected scans in a known layout, found none; give a folder with one of\n{LAYOUTS}")
