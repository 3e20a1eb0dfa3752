from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.stores.questions import read_questions
from perception_datasets.stores.scenes import open_scene_store
from perception_tools.main import main


def test_rooms_and_their_questions_become_one_store(
    made_rooms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out = tmp_path / "raw", str(tmp_path / "store")
    shutil.copytree(made_rooms, raw)
    bad = raw / "scans" / "synthetic00009_00_ins_label.npy"
    bad.write_bytes(b"broken")
    assert main(["prepare", "scannet", str(raw), out, "--processes", "1"]) == 0
    printed = capsys.readouterr().out
    assert "9 scenes in" in printed
    assert f"1 of 10 scans could not be read\n  synthetic00009_00: {bad}" in printed

    assert main(["prepare", "sqa3d", str(raw), out]) == 0
    printed = capsys.readouterr().out
    assert "questions about 8 scenes" in printed
    assert "questions left out, because their scenes are not in the store: synthetic00009_00" in printed
    assert {q.scene_id for q in read_questions(Path(out), "val")} == {"synthetic00008_00"}
    assert read_questions(Path(out), "test") == []


def test_the_exit_status_tells_that_no_scan_could_be_read(
    made_rooms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(made_rooms, raw)
    for path in (raw / "scans").glob("*_vert.npy"):
        path.write_bytes(b"broken")
    assert main(["prepare", "scannet", str(raw), str(tmp_path / "store"), "--processes", "1"]) == 1
    assert "0 scenes in" in capsys.readouterr().out


def test_places_outside_their_rooms_and_rooms_without_objects_are_said(
    made_rooms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out = tmp_path / "raw", str(tmp_path / "store")
    shutil.copytree(made_rooms, raw)
    labels = raw / "scans" / "synthetic00001_00_ins_label.npy"
    np.save(labels, np.zeros_like(np.load(labels)))
    for path in (raw / "scans").glob("synthetic00001_00_*bbox.npy"):
        path.unlink()
    assert main(["prepare", "scannet", str(raw), out, "--processes", "1"]) == 0
    assert "1 scenes without a labelled object: synthetic00001_00" in capsys.readouterr().out
    path = raw / "v1_balanced_sqa_annotations_val_scannetv2.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["position"]["x"] += 500
    path.write_text(json.dumps(content))
    assert main(["prepare", "sqa3d", str(raw), out]) == 0
    printed = capsys.readouterr().out
    assert "1 questions without a viewpoint, because theirs is more than 2 m outside the scan" in printed
    assert [q.viewpoint is None for q in read_questions(Path(out), "val")].count(True) == 1


def test_other_scans_of_the_same_names_replace_the_former_and_the_questions_are_refused(
    made_rooms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out = tmp_path / "raw", str(tmp_path / "store")
    shutil.copytree(made_rooms, raw)
    prepare = ["prepare", "scannet", str(raw), out, "--processes", "1"]
    assert main(prepare) == 0
    assert main(["prepare", "sqa3d", str(raw), out]) == 0
    first, second = (raw / "scans" / f"synthetic0000{number}_00" for number in (0, 8))
    for end in ("_vert.npy", "_sem_label.npy", "_ins_label.npy", ".txt"):
        shutil.copy(f"{first}{end}", f"{second}{end}")
    for path in (raw / "scans").glob("synthetic00008_00_*bbox.npy"):
        path.unlink()
    assert main(prepare) == 0
    assert "scans: 1 scans read again, because their files had changed" in capsys.readouterr().out
    scans = open_scene_store(Path(out))
    one, other = (scans.read(f"synthetic0000{number}_00").scene for number in (0, 8))
    np.testing.assert_array_equal(one.points, other.points)
    with pytest.raises(InputError, match="that have changed since"):
        read_questions(Path(out), "val")


def test_questions_without_a_store_or_without_files_are_one_sentence(
    made_rooms: Path, rooms_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", "sqa3d", str(made_rooms), str(tmp_path)]) == 2
    assert "make it with `perception prepare scannet`" in capsys.readouterr().err
    assert main(["prepare", "sqa3d", str(tmp_path), str(rooms_store)]) == 2
    assert "expected SQA3D's question files, found none" in capsys.readouterr().err


def test_questions_about_none_of_the_scenes_are_refused_and_replace_nothing(
    made_rooms: Path, rooms_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in made_rooms.glob("v1_balanced_*_val_*"):
        (tmp_path / path.name).write_text(path.read_text().replace("synthetic00008_00", "scene0015_00"))
    before = len(read_questions(rooms_store, "val"))
    assert main(["prepare", "sqa3d", str(tmp_path), str(rooms_store)]) == 2
    assert "questions left out, because their scenes are not in the store: scene0015_00" in capsys.readouterr().err
    assert len(read_questions(rooms_store, "val")) == before > 0


def test_questions_whose_annotations_are_missing_are_not_skipped(
    made_rooms: Path, rooms_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(made_rooms / "v1_balanced_questions_val_scannetv2.json", tmp_path)
    assert main(["prepare", "sqa3d", str(tmp_path), str(rooms_store)]) == 2
    assert "v1_balanced_sqa_annotations_val_scannetv2.json" in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "names"), [("scannet", "RAW STORE"), ("sqa3d", "QUESTIONS... STORE")])
def test_help_names_what_goes_in_and_what_comes_out(kind: str, names: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["prepare", kind, "--help"])
    assert names in capsys.readouterr().out.splitlines()[0]
