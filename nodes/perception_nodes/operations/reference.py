"""The reference of a deployment's file: every key with its default, and its meaning from the plans' docstrings.

`python -m perception_nodes.operations.reference` prints it; nodes/README.md has it, and a test holds the two equal.
"""

from __future__ import annotations

import inspect
import math
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
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


def deployment_reference(secure: bool = False) -> str:
    """Returns a deployment's file with every key.

    Args:
        secure: Whether `security` is part of the deployment; otherwise its keys are commented out.
    """
    lines: list[str] = []
    for field in fields(Deployment):
        section = list(_section(field.name, secure))
        if field.name == "security" and not secure:
            note = f"# The keys of `security`, which also needs `listen: {SECURE_LISTEN}` or alike:"
            section = [*(line for line in section if line.startswith("#")), note, *_commented(section)]
        lines += ["", *section]
    return _INTRODUCTION + "\n".join(lines) + "\n"


def _section(name: str, secure: bool) -> Iterator[str]:
    """Yields the lines of a top-level key."""
    field = next(field for field in fields(Deployment) if field.name == name)
    text = _attributes(Deployment)[name] + (" Default: null." if field.default is None else "")
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


def _keys(kind: type, indent: str, values: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yields the keys of a dataclass, each with its comment and its value.

    Args:
        kind: The dataclass.
        indent: Spaces before each line.
        values: Values to show instead of the defaults.
    """
    texts, types = _attributes(kind), get_type_hints(kind)
    for field in fields(kind):
        yield from _comment(texts[field.name] + _remark(field, types[field.name]), indent)
        item = _item(types[field.name])
        if item is not None:
            yield f"{indent}{field.name}:"
            yield f"{indent}  tracker:"
            yield from _keys(item, f"{indent}    ")
        else:
            yield f"{indent}{field.name}: {(values or {}).get(field.name) or _value(field)}"


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
        return ".inf"
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
