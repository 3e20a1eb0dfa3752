"""Reads the XML of a lanelet2 map (.osm) into points, lines, lanelets and regulatory elements, without geometry.

Format: https://github.com/fzi-forschungszentrum-informatik/Lanelet2/blob/master/lanelet2_core/doc/LaneletPrimitives.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from perception_datasets.errors import RecordError, bad_file, reading

CURE = "export the map again from its editor, such as Vector Map Builder or JOSM"
MAX_BYTES = 512 << 20
"""A kilometre of a road with all its markings takes about 1 MB."""
MAX_ELEMENTS = 5_000_000
"""Maximum number of points, lines and relations together; each takes up to a kilobyte of memory."""
_LONGEST_ID = 18
"""Digits that fit into 64 bits."""
_ROLES = {"left": "left", "right": "right", "centerline": "centreline"}


@dataclass
class Element:
    """A node, way or relation.

    Attributes:
        id: As the file writes it.
        attributes: Attributes of its XML element, such as lat and lon.
        tags: Values of its <tag> elements, by their keys.
        members: Type, role and id of a relation's members; of a way's nodes, node, an empty role and the id.
    """

    id: str
    attributes: Mapping[str, str]
    tags: dict[str, str] = field(default_factory=dict)
    members: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Lanelet:
    """A relation of type lanelet.

    Attributes:
        id: As the file writes it.
        tags: Its tags.
        left: Ids of the ways of its left bound, in order.
        right: Ids of the ways of its right bound.
        centreline: Ids of the ways of its centreline; empty where the map leaves it to the reader.
        rules: Ids of its regulatory elements.
    """

    id: str
    tags: Mapping[str, str]
    left: tuple[str, ...]
    right: tuple[str, ...]
    centreline: tuple[str, ...]
    rules: tuple[str, ...]


@dataclass(frozen=True)
class OsmMap:
    """What a file holds.

    Attributes:
        path: The file, for messages.
        nodes: Points by their ids.
        ways: Lines by their ids.
        lanelets: All lanelets, in the order of the file.
        rules: Regulatory elements by their ids.
    """

    path: Path
    nodes: Mapping[str, Element]
    ways: Mapping[str, Element]
    lanelets: tuple[Lanelet, ...]
    rules: Mapping[str, Element]

    def bad(self, reason: str) -> RecordError:
        """Returns the error for something in the file; `reason` names it and says what was expected and found."""
        return bad_file(self.path, reason, CURE)


def read_osm(path: Path) -> OsmMap:
    """Reads a lanelet2 map.

    Elements that an editor has marked as deleted are left out. Document type definitions are refused, since entities
    can grow to any length.

    Raises:
        RecordError: The file is damaged, too large, or has no lanelet.
    """
    with reading(path, CURE):
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise bad_file(path, f"expected at most {MAX_BYTES >> 20} MB, found {size >> 20} MB", CURE)
        parser = _Parser(path)
        try:
            parser.read()
        except expat.ExpatError as error:
            raise bad_file(path, f"it is not well-formed XML ({error})", CURE) from error
        found = parser.found
        relations = found["relation"]
        lanelets = tuple(_lanelet(path, each) for each in relations.values() if each.tags.get("type") == "lanelet")
        if not lanelets:
            raise bad_file(path, 'expected <relation> with <tag k="type" v="lanelet">, found none', CURE)
        rules = {name: each for name, each in relations.items() if each.tags.get("type") == "regulatory_element"}
        return OsmMap(path, found["node"], found["way"], lanelets, rules)


class _Parser:
    """Collects elements from expat's calls."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._now: Element | None = None
        self._root: str | None = None
        self._count = 0
        self.found: dict[str, dict[str, Element]] = {"node": {}, "way": {}, "relation": {}}

    def read(self) -> None:
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        with self._path.open("rb") as file:
            parser.ParseFile(file)

    def _refuse_doctype(self, *_: object) -> NoReturn:
        raise bad_file(self._path, "expected no document type definition, found one", CURE)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._root is None:
            self._root = name
            if name != "osm":
                raise bad_file(self._path, f"expected the root <osm>, found <{name[:40]}>", CURE)
        elif name in self.found:
            self._count += 1
            if self._count > MAX_ELEMENTS:
                reason = f"expected at most {MAX_ELEMENTS} nodes, ways and relations, found more"
                raise bad_file(self._path, reason, "cut out the part that the robot can reach")
            self._now = Element(attributes["id"], attributes)
            if attributes.get("action") != "delete":
                self._add(name, self._now)
        elif self._now is not None:
            if name == "tag":
                self._now.tags[attributes["k"]] = attributes["v"]
            elif name == "nd":
                self._now.members.append(("node", "", attributes["ref"]))
            elif name == "member":
                self._now.members.append((attributes["type"], attributes["role"], attributes["ref"]))

    def _add(self, kind: str, element: Element) -> None:
        digits = element.id.removeprefix("-")
        if not digits.isascii() or not digits.isdigit() or len(digits) > _LONGEST_ID:
            raise bad_file(
                self._path, f"expected a whole number as the id of a {kind}, found {element.id[:40]!r}", CURE
            )
        if element.id in self.found[kind]:
            raise bad_file(self._path, f"{kind} {element.id}: expected an id of its own, found it twice", CURE)
        self.found[kind][element.id] = element

    def _end(self, name: str) -> None:
        if name in self.found:
            self._now = None


def _lanelet(path: Path, relation: Element) -> Lanelet:
    lines: dict[str, list[str]] = {"left": [], "right": [], "centreline": []}
    for kind, role, other in relation.members:
        if role in _ROLES:
            if kind != "way":
                reason = f"lanelet {relation.id}: expected a way as its {role}, found the {kind[:40]} {other[:40]}"
                raise bad_file(path, reason, CURE)
            lines[_ROLES[role]].append(other)
    for side in ("left", "right"):
        if not lines[side]:
            raise bad_file(path, f"lanelet {relation.id}: expected a way with the role {side}, found none", CURE)
    rules = tuple(other for _, role, other in relation.members if role == "regulatory_element")
    return Lanelet(relation.id, relation.tags, **{name: tuple(ways) for name, ways in lines.items()}, rules=rules)
