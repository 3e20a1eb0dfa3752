import csv
from pathlib import Path

from perception.scene_classes import NYU40, STRUCTURE
from perception.scene_input import BOX_CLASS_NYU40, BOX_CLASSES


def test_the_names_are_those_of_the_table(real_data: Path) -> None:
    with (real_data / "scannet_meta" / "nyu40_labels.csv").open() as file:
        rows = {int(row["nyu40id"]): row["nyu40class"] for row in csv.DictReader(file)}
    spelt = {"refridgerator": "refrigerator"}
    spelt |= {f"other{end}": f"other {end}" for end in ("structure", "furniture", "prop")}
    names = {i: spelt.get(name, name.replace("_", " ")) for i, name in rows.items()}
    assert dict(enumerate(NYU40[1:], start=1)) == names


def test_the_classes_of_boxes_have_the_same_names() -> None:
    assert [NYU40[i] for i in BOX_CLASS_NYU40] == list(BOX_CLASSES[:-1])
    assert not set(STRUCTURE) & set(BOX_CLASS_NYU40)
