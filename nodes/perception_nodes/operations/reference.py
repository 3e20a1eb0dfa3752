"""The reference of a deployment's file: every key with its default, and its meaning from the plans' docstrings.

Files for a robot's own nodes are written from the same texts.
`python -m perception_nodes.operations.reference` prints it; nodes/README.md has it, and a test holds the two equal.
"""

from __future__ import annotations

import inspect
import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from perception_nodes.kinds import KINDS
from perception_nodes.operations.deployment import Deployment
from perception_nodes.operations.node_plan import EXAMPLE, plan_type

SECURE_LISTEN = "tls/0.0.0.0:7447"
_COLUMNS = 100
_INTRODUCTION = """\
# Every key of a deployment. Values are the defaults; keys marked "Required" have examples instead.
# Paths are relative to this file.
"""


@dataclass(frozen=True)
class DescribedNode:
    """A node of a file that is written for a robot.

    Attributes:
        name: Its name.
        kind: One of `KINDS`.
        values: Values of keys that differ from the defaults, in YAML.
        notes: What else to say of keys, in sentences.
    """

    name: str
    kind: str
    values: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


def commented_deployment(nodes: Sequence[DescribedNode], introduction: str, listen: str | None = None) -> str:
    """Returns a deployment's file with some nodes; the sections that it can do without are commented out.

    Args:
        nodes: The nodes.
        introduction: What the file is, in sentences.
        listen: Where the router listens, if not at the default.
    """
    lines = _comment(introduction, "")
    for section in fields(Deployment):
        if section.name == "nodes":
            described = [*_comment(_attributes(Deployment)["nodes"], ""), "nodes:"]
            for node in nodes:
                described += [*_comment(_summary(plan_type(node.kind)), "  "), f"  {node.name}:"]
                described += [
                    *_comment(f"Kind of the node. One of {', '.join(KINDS)}.", "    "),
                    f"    kind: {node.kind}",
                ]
                described += _keys(plan_type(node.kind), "    ", node.values, node.notes)
        else:
            described = list(_section(section.name, False))
            if section.name == "router":
                described = [re.sub(r"(?<=  listen: ).*", listen or r"\g<0>", line) for line in described]
            else:
                described = [*(line for line in described if line.startswith("#")), *_commented(described)]
        lines += ["", *described]
    return "\n".join(lines) + "\n"


def deployment_reference(secure: bool = False) -> str:
    """Returns a deployment's file with every key.

    Args:
        secure: Whether `security` is part of the deployment; otherwise its keys are commented out.
    """
    lines: list[str] = []
    for part in fields(Deployment):
        section = list(_section(part.name, secure))
        if part.name == "security" and not secure:
            note = f"# The keys of `security`, which also needs `listen: {SECURE_LISTEN}` or alike:"
            section = [*(line for line in section if line.startswith("#")), note, *_commented(section)]
        lines += ["", *section]
    return _INTRODUCTION + "\n".join(lines) + "\n"


def _section(name: str, secure: bool) -> Iterator[str]:
    """Yields the lines of a top-level key."""
    part = next(part for part in fields(Deployment) if part.name == name)
    text = _attributes(Deployment)[name] + (" Default: null." if part.default is None else "")
    yield from _comment(text, "")
    yield f"{name}:"
    if name == "nodes":
        for kind in KINDS:
            yield from _comment(_summary(plan_type(kind)), "  ")
            yield f"  {kind.replace('-', '_')}:"
            yield from _comment(f"Kind of the node. One of {', '.join(KINDS)}. Required.", "    ")
            yield f"    kind: {kind}"
            yield from _keys(plan_type(kind), "    ")
    else:
        yield from _keys(_plain(get_type_hints(Deployment)[name]), "  ", {"listen": SECURE_LISTEN} if secure else {})


def _keys(
    kind: type, indent: str, values: Mapping[str, str] | None = None, notes: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Yields the keys of a dataclass, each with its comment and its value.

    Args:
        kind: The dataclass.
        indent: Spaces before each line.
        values: Values to show instead of the defaults.
        notes: Sentences to add to the comments.
    """
    texts, types = _attributes(kind), get_type_hints(kind)
    for key in fields(kind):
        note = (notes or {}).get(key.name)
        yield from _comment(texts[key.name] + _remark(key, types[key.name]) + (f" {note}" if note else ""), indent)
        item = _item(types[key.name])
        if item is not None:
            yield f"{indent}{key.name}:"
            yield f"{indent}  tracker:"
            yield from _keys(item, f"{indent}    ")
        else:
            yield f"{indent}{key.name}: {(values or {}).get(key.name) or _value(key)}"


def _attributes(kind: type) -> dict[str, str]:
    """Returns the texts of a dataclass's attributes, and of those that it inherits, from the docstrings."""
    texts: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        _, _, section = inspect.cleandoc(vars(owner).get("__doc__") or "").partition("Attributes:\n")
        for entry in re.split(r"^    (?=\w)", section, flags=re.MULTILINE)[1:]:
            name, _, text = entry.partition(": ")
            texts[name] = " ".join(text.split())
    return texts


def _summary(kind: type) -> str:
    return inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0]


def _remark(field: Field[Any], kind: Any) -> str:
    """Returns what the type says of a key: its words, and that it is required."""
    words = f" One of {', '.join(get_args(kind))}." if get_origin(kind) is Literal else ""
    return words + (" Required." if field.default is field.default_factory is MISSING else "")


def _value(field: Field[Any]) -> str:
    """Returns a key's default in YAML, or its example if it is required."""
    value = field.metadata[EXAMPLE] if field.default is MISSING else field.default
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    return str(value)


def _item(kind: Any) -> type | None:
    """Returns the dataclass of a mapping's values; None for other types."""
    item = get_args(kind)[1] if get_origin(kind) is Mapping else None
    return item if is_dataclass(item) and isinstance(item, type) else None


def _plain(kind: Any) -> type:
    """Returns a type without None."""
    options = [option for option in get_args(kind) if option is not NoneType]
    return options[0] if options else kind


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _COLUMNS, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


def _commented(lines: list[str]) -> list[str]:
    return [f"# {line}" for line in lines if not line.startswith("#")]


if __name__ == "__main__":
    print(deployment_reference(), end="")
