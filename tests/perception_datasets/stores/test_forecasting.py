import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception.traffic.scenario import Scenario
from perception_datasets.argoverse.argoverse2_sensor import SensorLogFiles
from perception_datasets.errors import Failures, RecordError
from perception_datasets.forecasting import ScenarioFolder, open_forecasting
from perception_datasets.rounding import rounded
from perception_datasets.stores import shared_rows, store
from perception_datasets.stores.forecasting import SCHEMA, from_record, prepare, to_record
from perception_datasets.stores.group import load_attributes, write_group
from perception_datasets.stores.part import CHUNK
from perception_datasets.stores.schema import Schema
from perception_datasets.stores.writer import verify_split


def assert_equal(one: Scenario, other: Scenario) -> None:
    for field in fields(Scenario):
        if field.name not in ("agents", "map"):
            assert getattr(one, field.name) == getattr(other, field.name), field.name
    for part in ("agents", "map"):
        ours, theirs = getattr(one, part), getattr(other, part)
        assert type(ours) is type(theirs)
        for field in fields(ours):
            a, b = getattr(ours, field.name), getattr(theirs, field.name)
            np.testing.assert_array_equal(a, b, strict=field.name != "ids" or part == "map", err_msg=field.name)


def prepare_all(raw: ScenarioFolder, folder: Path) -> Failures:
    failures = Failures()
    for one in prepare(raw, folder, processes=1):
        failures.reasons.update(one.failures.reasons)
    return failures


def test_a_scenario_survives_its_record(argoverse1: Path, made_argoverse2: Path) -> None:
    for folder in (argoverse1, made_argoverse2):
        for scenario in open_forecasting(folder, "val"):
            assert_equal(from_record(to_record(scenario)), scenario)


@pytest.mark.usefixtures("in_this_process")
def test_a_prepared_split_gives_the_same_scenarios(
    made_argoverse2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PART_RECORDS", 3)
    raw = open_forecasting(made_argoverse2, "val")
    assert not prepare_all(raw, tmp_path / "store")
    stored = open_forecasting(tmp_path / "store", "val")
    assert (stored.source, list(stored.ids)) == ("synthetic", list(raw.ids))
    for one, other in zip(pickle.loads(pickle.dumps(stored)), raw, strict=True):
        assert_equal(one, other)
    assert len(open_forecasting(tmp_path / "store", "val", limit=2)) == 2
    with pytest.raises(InputError, match="expected a complete split 'train', found val"):
        open_forecasting(tmp_path / "store", "train")


@pytest.mark.usefixtures("in_this_process")
def test_a_rounded_split_gives_rounded_scenarios_and_says_so(made_argoverse2: Path, tmp_path: Path) -> None:
    raw = open_forecasting(made_argoverse2, "val")
    for folder, decimals in (("exact", None), ("rounded", 2)):
        assert not [
            one.failures for one in prepare(raw, tmp_path / folder, processes=1, decimals=decimals) if one.failures
        ]
    info = store.read_info(tmp_path / "rounded")
    assert info is not None
    assert info.decimals == 2
    for one, other in zip(open_forecasting(tmp_path / "rounded", "val"), raw, strict=True):
        assert_equal(one, rounded(other, 2))
    sizes = [
        sum(f.stat().st_size for f in (tmp_path / name / "val").rglob("*") if f.is_file())
        for name in ("exact", "rounded")
    ]
    assert sizes[1] < 0.6 * sizes[0]
    with pytest.raises(InputError, match="expected numbers as the files state them, found a store of numbers of 2"):
        list(prepare(raw, tmp_path / "rounded", processes=1))
    with pytest.raises(InputError, match="decimals: expected 1 to 6, got 0"):
        list(prepare(raw, tmp_path / "other", processes=1, decimals=0))


@pytest.mark.usefixtures("in_this_process")
def test_a_bad_scene_is_named_and_its_part_is_written_again_once_it_is_repaired(
    argoverse1: Path, tmp_path: Path
) -> None:
    path = argoverse1 / "val" / "data" / "3.csv"
    good = path.read_text()
    path.write_text(good[:400])
    failures = prepare_all(open_forecasting(argoverse1, "val"), tmp_path / "store")
    assert list(failures.reasons) == ["3"]
    assert str(path) in failures.report(of=5)
    assert list(open_forecasting(tmp_path / "store", "val").ids) == ["1", "2", "4", "5"]

    path.write_text(good)
    assert not prepare_all(open_forecasting(argoverse1, "val"), tmp_path / "store")
    assert list(open_forecasting(tmp_path / "store", "val").ids) == ["1", "2", "3", "4", "5"]


def test_an_interrupted_run_is_continued(argoverse1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PART_RECORDS", 2)
    raw, folder = open_forecasting(argoverse1, "val"), tmp_path / "store"
    run = prepare(raw, folder, processes=1)
    next(run)
    run.close()
    with pytest.raises(InputError, match="expected a complete split"):
        open_forecasting(folder, "val")
    first = store.part_path(folder, "val", 0)
    for name in (".part-00001.ab12", ".rows-00001.cd34"):
        (first.parent / name).mkdir(exist_ok=True)  # as a kill leaves it
    written = first.stat().st_mtime_ns
    prepare_all(raw, folder)
    assert first.stat().st_mtime_ns == written
    found = sorted(p.name for p in (folder / "val").iterdir())
    assert found == ["part-00000", "part-00001", "part-00002", "rows-00000", "zarr.json"]
    for one, other in zip(open_forecasting(folder, "val"), raw, strict=True):
        assert_equal(one, other)


PREPARE = """
import sys
from pathlib import Path
from perception_datasets.stores import shared_rows, store
from perception_datasets.stores.group import load_attributes, write_group
from perception_datasets.forecasting import open_forecasting
from perception_datasets.stores.forecasting import prepare
if __name__ == "__main__":
    store.PART_RECORDS = 1
    for _ in prepare(open_forecasting(Path(sys.argv[1]), "val"), Path(sys.argv[2]), processes=1):
        pass
"""


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_a_killed_run_is_continued(argoverse1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script, folder = tmp_path / "run.py", tmp_path / "store"
    script.write_text(PREPARE)
    command = [sys.executable, str(script), str(argoverse1), str(folder)]
    process = subprocess.Popen(command, start_new_session=True)
    while not (folder / "val" / "part-00000").exists():
        assert process.poll() is None
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    monkeypatch.setattr(store, "PART_RECORDS", 1)
    assert not prepare_all(open_forecasting(argoverse1, "val"), folder)
    for one, other in zip(open_forecasting(folder, "val"), open_forecasting(argoverse1, "val"), strict=True):
        assert_equal(one, other)


@pytest.mark.usefixtures("in_this_process")
def test_a_damaged_part_is_named(argoverse1: Path, tmp_path: Path) -> None:
    prepare_all(open_forecasting(argoverse1, "val"), tmp_path / "store")
    shard = store.part_path(tmp_path / "store", "val", 0) / "bytes" / "c" / "0"
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(
        RecordError, match=r"part-00000: record 2: expected the bytes that were written, .*; run `perce"
    ):
        open_forecasting(tmp_path / "store", "val")[1]


def test_a_store_of_something_else_is_refused(tmp_path: Path) -> None:
    store.create_store(tmp_path / "s", store.StoreInfo("scan", "scannet", Schema((("points", "<f8", 2),))))
    with pytest.raises(InputError, match="expected a store of forecasting records, found scan"):
        open_forecasting(tmp_path / "s", "val")


@pytest.mark.usefixtures("in_this_process")
def test_every_file_that_a_scenario_is_read_from_counts(
    argoverse1: Path, made_argoverse2: Path, tmp_path: Path
) -> None:
    shutil.copytree(made_argoverse2 / "val", tmp_path / "argoverse2" / "val")
    (scenario, *_) = sorted((tmp_path / "argoverse2" / "val").iterdir())
    for folder, path, renewed in (
        (argoverse1, argoverse1 / "val" / "data" / "1.csv", 1),
        (argoverse1, next(argoverse1.rglob("*_vector_map.xml")), 5),
        (tmp_path / "argoverse2", next(scenario.glob("*.parquet")), 1),
        (tmp_path / "argoverse2", next(scenario.glob("*.json")), 1),
    ):
        raw, out = open_forecasting(folder, "val"), tmp_path / f"store of {folder.name}"
        list(prepare(raw, out, processes=1))
        os.utime(path, ns=(10**18, 10**18))
        assert [one.renewed for one in prepare(raw, out, processes=1)] == [renewed], path
    log = SensorLogFiles(Path("logs"))
    assert log.inputs("a-b_007") == (Path("logs/a-b"), Path("logs/a-b/map"))


@pytest.mark.usefixtures("in_this_process")
def test_a_store_can_be_prepared_again_from_a_store(argoverse1: Path, tmp_path: Path) -> None:
    prepare_all(open_forecasting(argoverse1, "val"), tmp_path / "first")
    first = open_forecasting(tmp_path / "first", "val")
    prepare_all(first, tmp_path / "second")
    for one, other in zip(open_forecasting(tmp_path / "second", "val"), first, strict=True):
        assert_equal(one, other)


@pytest.mark.usefixtures("in_this_process")
def test_a_lane_of_many_scenarios_is_stored_once(
    argoverse1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PART_RECORDS", 2)
    raw, folder = open_forecasting(argoverse1, "val"), tmp_path / "store"
    prepare_all(raw, folder)
    lanes = [lane for scenario in raw for lane in zip(scenario.city, scenario.map.ids.tolist(), strict=False)]
    segments = store.read_split(folder, "val").segments
    table = shared_rows.open_rows(folder / "val", segments)
    assert len(lanes) > len(table) == len(np.unique(table, axis=0))
    assert len(segments) == len(shared_rows.segment_folders(folder / "val"))
    prepare_all(raw, folder)
    assert store.read_split(folder, "val").segments == segments


def test_numbers_that_no_compact_form_holds_are_kept_to_the_bit(argoverse1: Path, made_argoverse2: Path) -> None:
    plain, other = (open_forecasting(folder, "val")[0] for folder in (argoverse1, made_argoverse2))
    random = np.random.default_rng(0)
    for scenario in (plain, other):
        agents = scenario.agents
        noisy = replace(agents, position=agents.position + random.normal(size=agents.position.shape))
        negative = replace(agents, velocity=np.where(agents.valid[..., None], agents.velocity, -0.0))
        turned = replace(agents, heading=np.nextafter(agents.heading, 9.0))
        large = replace(agents, position=agents.position * 1e12, velocity=agents.velocity * 1e-300)
        for changed in (noisy, negative, turned, large):
            given = replace(scenario, agents=changed)
            found = from_record(to_record(given))
            assert_equal(found, given)
            for name in ("position", "heading", "velocity"):
                assert getattr(found.agents, name).tobytes() == getattr(changed, name).tobytes(), name
    empty = replace(plain, map=type(plain.map)(*(getattr(plain.map, field.name)[:0] for field in fields(plain.map))))
    assert_equal(from_record(to_record(empty)), empty)


@pytest.mark.usefixtures("in_this_process")
def test_damage_to_the_lanes_is_named_and_repaired(argoverse1: Path, tmp_path: Path) -> None:
    raw, folder = open_forecasting(argoverse1, "val"), tmp_path / "store"
    prepare_all(raw, folder)
    (segment,) = shared_rows.segment_folders(folder / "val")
    chunk = segment / CHUNK
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    shared_rows.open_rows.cache_clear()
    with pytest.raises(RecordError, match=r"rows-00000: record rows: expected the bytes that were written, found dama"):
        open_forecasting(folder, "val")[0]
    named = [name for one in verify_split(folder, "val", SCHEMA) for name in one.failures.reasons]
    assert named == ["rows-00000", "1", "2", "3", "4", "5"]
    assert sum(one.renewed for one in prepare(raw, folder, processes=1)) == 5
    for one, other in zip(open_forecasting(folder, "val"), raw, strict=True):
        assert_equal(one, other)
    shutil.rmtree(segment)
    shared_rows.open_rows.cache_clear()
    with pytest.raises(RecordError, match=r"rows-00000: no such file; run `perception prepare` again"):
        open_forecasting(folder, "val")[0]


@pytest.mark.usefixtures("in_this_process")
def test_a_store_of_the_former_layout_is_refused_in_one_sentence(argoverse1: Path, tmp_path: Path) -> None:
    raw, folder = open_forecasting(argoverse1, "val"), tmp_path / "store"
    prepare_all(raw, folder)
    attributes = load_attributes(folder, "")
    assert attributes is not None
    write_group(folder, {name: attributes[name] for name in ("format", "kind", "source", "schema")} | {"version": 2})
    said = "expected store version 4, found 2; delete the store and run `perception prepare` again"
    for act in (lambda: open_forecasting(folder, "val"), lambda: prepare_all(raw, folder)):
        with pytest.raises(InputError, match=said):
            act()


@pytest.mark.usefixtures("in_this_process")
def test_the_digest_of_a_scenario_does_not_depend_on_its_neighbours(argoverse1: Path, tmp_path: Path) -> None:
    """What was made of a scenario is found by its digest, in whichever store it lies."""
    raw = open_forecasting(argoverse1, "val")
    prepare_all(raw, tmp_path / "all")
    prepare_all(replace(raw, ids=list(raw.ids)[::-1][:3]), tmp_path / "some")
    whole, some = (open_forecasting(tmp_path / name, "val") for name in ("all", "some"))
    assert {some.fingerprint(index) for index in range(3)} < {whole.fingerprint(index) for index in range(5)}
