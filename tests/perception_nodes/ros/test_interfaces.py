"""The ROS packages of our own messages: they build what they hold, and declare what they need."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from perception_nodes.ros.messages import INTERFACES

OURS = ["forecast_msgs", "perception_node_msgs", "scene_qa_msgs"]
PRIMITIVES = {"bool", "byte", "char", "string", "wstring"} | {f"float{n}" for n in (32, 64)}
PRIMITIVES |= {f"{sign}int{n}" for n in (8, 16, 32, 64) for sign in ("", "u")}


def files_of(package: str) -> list[Path]:
    return sorted([*(INTERFACES / package).glob("msg/*.msg"), *(INTERFACES / package).glob("srv/*.srv")])


def packages_used_by(package: str) -> set[str]:
    """Packages of the types of all fields; a type without a package is of its own, and Header is std_msgs'."""
    used = set()
    for path in files_of(package):
        for line in path.read_text().splitlines():
            words = line.partition("#")[0].split()
            if not words or words[0] == "---":
                continue
            kind = re.sub(r"(<=\d+)?(\[.*\])?$", "", words[0])
            if kind not in PRIMITIVES:
                used.add(kind.split("/")[0] if "/" in kind else package)
    return used - {package}


@pytest.mark.parametrize("package", OURS)
def test_every_message_and_service_is_generated_and_no_other(package: str) -> None:
    text = (INTERFACES / package / "CMakeLists.txt").read_text()
    listed = re.findall(r'^  "((?:msg|srv)/\w+\.(?:msg|srv))"$', text, re.MULTILINE)
    assert listed == [path.relative_to(INTERFACES / package).as_posix() for path in files_of(package)]
    assert f"project({package})" in text


@pytest.mark.parametrize("package", OURS)
def test_every_dependency_is_declared_and_found(package: str) -> None:
    used, text = packages_used_by(package), (INTERFACES / package / "CMakeLists.txt").read_text()
    assert used
    (dependencies,) = re.findall(r"DEPENDENCIES (.*)\n", text)
    assert set(dependencies.split()) == used
    found = set(re.findall(r"find_package\((\w+) REQUIRED\)", text))
    assert found == used | {"ament_cmake", "rosidl_default_generators"}
    declared = set(re.findall(r"<depend>(\w+)</depend>", (INTERFACES / package / "package.xml").read_text()))
    assert declared == used


@pytest.mark.parametrize("package", OURS)
def test_ros_own_parser_takes_the_package_as_format_3(package: str, tmp_path: Path) -> None:
    catkin = pytest.importorskip("catkin_pkg.package")
    shutil.copy(INTERFACES / package / "package.xml", tmp_path)
    warnings: list[str] = []
    parsed = catkin.parse_package(str(tmp_path), warnings=warnings)
    parsed.validate(warnings=warnings)
    assert warnings == []
    assert (parsed.name, parsed.package_format, parsed.get_build_type()) == (package, 3, "ament_cmake")
    assert [group.name for group in parsed.member_of_groups] == ["rosidl_interface_packages"]
    assert {each.name for each in parsed.exec_depends} >= packages_used_by(package) | {"rosidl_default_runtime"}
    assert {each.name for each in parsed.buildtool_depends} == {"ament_cmake", "rosidl_default_generators"}


def test_the_packages_have_the_projects_version_and_licence() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    for package in OURS:
        text = (INTERFACES / package / "package.xml").read_text()
        assert f"<version>{project['version']}</version>" in text
        assert f"<license>{project['license']}</license>" in text


def test_they_are_part_of_the_wheel() -> None:
    """hatchling takes every file of a package that git does not ignore; these lie in one."""
    hatch = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    wheel = hatch["targets"]["wheel"]
    assert "nodes/perception_nodes" in wheel["packages"]
    assert not {"exclude", "only-include", "artifacts"} & wheel.keys()
    builder = pytest.importorskip("hatchling.builders.wheel")
    root = Path(__file__).parents[3]
    included = {file.distribution_path for file in builder.WheelBuilder(str(root)).recurse_included_files()}
    for package in OURS:
        for name in ("package.xml", "CMakeLists.txt"):
            assert f"perception_nodes/ros/interfaces/{package}/{name}" in included
