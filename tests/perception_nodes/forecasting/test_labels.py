from __future__ import annotations

import pytest

from perception.traffic.scenario import ROAD_USERS, AgentKind
from perception_datasets.argoverse.argoverse2_sensor import _KIND_OF_CATEGORY
from perception_nodes.forecasting.labels import (
    KIND_OF_CLASS,
    KIND_OF_LABEL,
    LABEL_OF_CLASS,
    LABEL_OF_KIND,
    class_word,
)
from perception_nodes.ros.objects import Label


def test_every_road_user_keeps_its_kind_there_and_back() -> None:
    assert [KIND_OF_LABEL[LABEL_OF_KIND[kind]] for kind in ROAD_USERS] == [*ROAD_USERS]


def test_every_class_is_written_as_it_is_looked_up() -> None:
    assert all(name == class_word(name) for name in LABEL_OF_CLASS)
    assert class_word(" Traffic-Cone ") == class_word("TRAFFIC CONE") == "traffic_cone"
    assert LABEL_OF_CLASS.keys() == KIND_OF_CLASS.keys()


def test_every_label_has_its_own_name_as_a_word() -> None:
    assert {label.name.lower(): LABEL_OF_CLASS[label.name.lower()] for label in Label} == {
        label.name.lower(): label for label in Label
    }


@pytest.mark.parametrize(
    ("word", "label", "kind"),
    [
        ("truck", Label.TRUCK, AgentKind.VEHICLE),
        ("trailer", Label.TRAILER, AgentKind.VEHICLE),
        ("school_bus", Label.BUS, AgentKind.BUS),
        ("traffic_cone", Label.HAZARD, AgentKind.CONSTRUCTION),
        ("barrier", Label.HAZARD, AgentKind.STATIC),
        ("animal", Label.ANIMAL, AgentKind.UNKNOWN),
    ],
)
def test_a_word_has_the_label_that_autoware_gives_it(word: str, label: Label, kind: AgentKind) -> None:
    assert (LABEL_OF_CLASS[word], KIND_OF_CLASS[word]) == (label, kind)


def test_argoverse_2s_classes_have_the_kinds_of_the_logs_reader() -> None:
    """But for its riderless bicycles: Autoware's bicycles are ridden."""
    both = {name.lower() for name in _KIND_OF_CATEGORY} & KIND_OF_CLASS.keys() - {"bicycle"}
    assert len(both) >= 12
    assert {name: KIND_OF_CLASS[name] for name in both} == {name: _KIND_OF_CATEGORY[name.upper()] for name in both}
