"""YAML files as dataclasses. A mistake is reported with its file and line, and with the key that was probably meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import yaml

from perception.errors import InputError
from perception.files import reading

T = TypeVar("T")
Keys = dict[str, tuple[yaml.Node, yaml.Node]]
"""A mapping's keys, each with its own node and its value's."""
_MAX_BYTES = 2**20
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
"""Numbers such as 1e-3, which YAML 1.1 takes for a text, since they have no point."""
_SCALARS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}


class ConfigurationError(InputError):
    """A configuration file that cannot be used. Each line of the message is a mistake, after FILE:LINE."""


@dataclass(frozen=True)
class Choice:
    """A dataclass that stands for several, of which a key of the file says which one is meant.

    Attributes:
        key: The key; the chosen dataclass has no field of that name.
        types: Returns the dataclass, by the key's value.
    """

    key: str
    types: Mapping[str, Callable[[], type]]


def read_yaml(
    path: Path,
    kind: type[T],
    *,
    choices: Mapping[type, Choice] | None = None,
    amend: Callable[[yaml.Node], None] = lambda _: None,
) -> T:
    """Returns a YAML file as a dataclass.

    Fields may be texts, words of a Literal, numbers, paths, tuples and mappings of them, and further dataclasses.

    Args:
        path: Path of the file. Relative paths in it are relative to its folder.
        kind: The dataclass.
        choices: Dataclasses that stand for several.
        amend: Changes the root node before it is read, for files of a former version.

    Raises:
        ConfigurationError: The file cannot be read, is not YAML, or has something that the dataclass does not know.
    """
    root = _compose(path, _keys_of(kind))
    amend(root)
    return _Reader(path, choices or {}).read(root, kind, "the file")


def read_variant(path: Path, key: str, presets: Mapping[str, T]) -> tuple[str, T]:
    """A YAML file that names a dataclass instance and states what differs from it.

    Args:
        path: The file.
        key: Its key whose value is a preset's name; all other keys are fields.
        presets: The instances by their names.

    Returns:
        The preset's name, and the instance with the file's values in it. A field that is a dataclass is changed key by
        key; any other is replaced.

    Raises:
        ConfigurationError: It cannot be read, is no YAML, names no preset, or says something that the preset does not
            know.
    """
    return _Reader(path, {}).variant(_compose(path, key), key, presets)


def _compose(path: Path, expected: str) -> yaml.Node:
    """The root of a YAML file."""
    with reading(path, "give a YAML file", ConfigurationError):
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigurationError(f"{path}: expected a file of at most {_MAX_BYTES} bytes; is it another one?")
        try:
            root = yaml.compose(path.read_text(), yaml.SafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            raise ConfigurationError(f"{path}{line}: no YAML: {getattr(error, 'problem', error)}") from error
    if root is None:
        raise ConfigurationError(f"{path}:1: expected {expected}, found nothing")
    return root


class _Reader:
    """Turns nodes, which know their lines, into values."""

    def __init__(self, path: Path, choices: Mapping[type, Choice]) -> None:
        self._path, self._choices = path, choices

    def variant(self, node: yaml.Node, key: str, presets: Mapping[str, T]) -> tuple[str, T]:
        place, word = self._keys(node, "the file").get(key, (node, None))
        if word is None:
            raise self._error(place, f"the file: expected the key {key}; add it")
        name = self._scalar(word, str, key)
        if name not in presets:
            raise self._error(word, f"{key}: there is no {name!r}; {_hint(name, presets)}")
        fields_only = [pair for pair in node.value if pair[0] is not place]
        rest = yaml.MappingNode(node.tag, fields_only, node.start_mark, node.end_mark)
        keys = self._keys(rest, "the file")
        return name, self._dataclass(rest, keys, type(presets[name]), "the file", presets[name])

    def read(self, node: yaml.Node, kind: Any, name: str, preset: Any = None) -> Any:
        if get_origin(kind) is UnionType:
            if NoneType in get_args(kind) and node.tag == "tag:yaml.org,2002:null":
                return None
            (kind,) = (option for option in get_args(kind) if option is not NoneType)
        if kind in self._choices:
            return self._chosen(node, self._choices[kind], name)
        if is_dataclass(kind):
            return self._dataclass(node, self._keys(node, name), kind, name, preset)
        if get_origin(kind) is Literal:
            return self._word(node, get_args(kind), name)
        if get_origin(kind) is tuple:
            return self._tuple(node, get_args(kind)[0], name)
        if get_origin(kind) is Mapping:
            keys, item = self._keys(node, name), get_args(kind)[1]
            return _each({k: partial(self.read, value, item, f"{name}.{k}") for k, (_, value) in keys.items()})
        return self._scalar(node, kind, name)

    def _chosen(self, node: yaml.Node, choice: Choice, name: str) -> Any:
        given = self._keys(node, name)
        if choice.key not in given:
            raise self._error(node, f"{name}: expected the key {choice.key}, one of {', '.join(choice.types)}; add it")
        word = self._word(given.pop(choice.key)[1], tuple(choice.types), f"{name}.{choice.key}")
        return self._dataclass(node, given, choice.types[word](), name)

    def _dataclass(self, node: yaml.Node, given: Keys, kind: Any, name: str, preset: Any = None) -> Any:
        """A dataclass of the file's values; fields that the file leaves out come from `preset`, or have defaults."""
        known, types = {field.name: field for field in fields(kind)}, get_type_hints(kind)
        for key, field in known.items():
            required = preset is None and field.default is MISSING and field.default_factory is MISSING
            if required and key not in given:
                raise self._error(node, f"{name}: expected the key {key}; add it")

        def value_of(key: str, place: yaml.Node, value: yaml.Node) -> Any:
            if key not in known:
                raise self._error(place, f"{name} has no key {key!r}; {_hint(key, known)}")
            return self.read(value, types[key], key, getattr(preset, key, None))

        values = _each({key: partial(value_of, key, *nodes) for key, nodes in given.items()})
        try:
            return kind(**values) if preset is None else replace(preset, **values)
        except ConfigurationError:
            raise
        except InputError as error:
            raise self._error(node, str(error)) from error

    def _keys(self, node: yaml.Node, name: str) -> Keys:
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, f"{name}: expected keys and values, found {_kind_of(node)}")
        keys: Keys = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, f"{name}: expected a word as a key, found {_kind_of(key)}")
            if key.value in keys:
                raise self._error(key, f"{name}: the key {key.value} is there twice; remove one")
            keys[key.value] = (key, value)
        return keys

    def _tuple(self, node: yaml.Node, kind: Any, name: str) -> tuple[Any, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise self._error(node, f"{name}: expected a list such as [a, b], found {_kind_of(node)}")
        return tuple(self.read(item, kind, name) for item in node.value)

    def _word(self, node: yaml.Node, words: tuple[str, ...], name: str) -> str:
        word = node.value if isinstance(node, yaml.ScalarNode) else None
        if word not in words:
            raise self._error(node, f"{name}: expected one of {', '.join(words)}; found {_kind_of(node)}")
        return word

    def _scalar(self, node: yaml.Node, kind: type, name: str) -> Any:
        value = self._constructed(node, kind, name) if isinstance(node, yaml.ScalarNode) else None
        if kind is float and type(value) is int:
            value = float(value)
        if kind is float and isinstance(value, str) and _EXPONENT.fullmatch(value):
            value = float(value)
        if kind is Path and isinstance(value, str):
            return self._file(node, value, name)
        if type(value) is not kind:
            raise self._error(node, f"{name}: expected {_SCALARS[kind]}, found {_kind_of(node)}")
        return value

    def _constructed(self, node: yaml.ScalarNode, kind: type, name: str) -> Any:
        """A scalar as YAML understands it. For tags and numbers that are malformed, its constructors raise anything."""
        try:
            return yaml.SafeLoader("").construct_object(node)
        except Exception as error:
            raise self._error(node, f"{name}: expected {_SCALARS[kind]}, found {_kind_of(node)}") from error

    def _file(self, node: yaml.Node, text: str, name: str) -> Path:
        """A path, relative to the file wherever that is read from."""
        try:
            path = self._path.parent / Path(text).expanduser()
        except RuntimeError as error:  # ~ of a user whom this host does not know
            raise self._error(node, f"{name}: {text[:80]!r}: {error}; write the whole path") from error
        if "\0" in text:
            raise self._error(node, f"{name}: expected a path, found one with a zero byte; remove it")
        return path

    def _error(self, node: yaml.Node, complaint: str) -> ConfigurationError:
        place = f"{self._path}:{node.start_mark.line + 1}"
        return ConfigurationError("\n".join(f"{place}: {line}" for line in complaint.splitlines()))


def _each(readers: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Returns the value of every key; raises one error with all that is wrong."""
    values, wrong = {}, []
    for key, read in readers.items():
        try:
            values[key] = read()
        except ConfigurationError as error:
            wrong.append(str(error))
    if wrong:
        raise ConfigurationError("\n".join(wrong))
    return values


def _kind_of(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value[:80]) if node.value else "nothing"
    return "a list" if isinstance(node, yaml.SequenceNode) else "keys and values"


def _hint(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or all of them."""
    near = get_close_matches(word, known := list(known), 1)
    return f"did you mean {near[0]}?" if near else f"expected {', '.join(known)}"


def _keys_of(kind: Any) -> str:
    return ", ".join(field.name for field in fields(kind))
