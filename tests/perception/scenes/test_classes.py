import csv
from pathlib import Path

from perception.scenes.classes import BOX_CLASS_NYU40, BOX_CLASSES, NYU40, STRUCTURE


def test_the_names_are_those_of_the_table(real_data: Path) -> None:
    with (real_data / "scannet_meta" / "nyu40_labels.csv").open() as file:
        rows = {int(row["nyu40id"]): row["nyu40class"] for row in csv.DictReader(file)}
    spelt = {"refridgerator": "refrigerator"}
    spelt |= {f"other{end}": f"other {end}" for end in ("structure", "furniture", "prop")}
    names = {i: spelt.get(name, name.replace("_", " ")) for i, name in rows.items()}
    assert dict(enumerate(NYU40[1:], start=1)) == names


def test_the_classes_of_boxes_are_those_of_the_benchmark_in_its_order() -> None:
    names = "cabinet bed chair sofa table door window bookshelf picture counter desk curtain refrigerator"
    assert BOX_CLASSES == (*names.split(), "shower curtain", "toilet", "sink", "bathtub", "others")
    assert not set(STRUCTURE) & set(BOX_CLASS_NYU40)
