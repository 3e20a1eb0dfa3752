"""Content of an answer file as records, recognised by its first bytes and never by its name."""

from __future__ import annotations

import csv
import gzip
import io
import json
import pickle
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from perception.errors import InputError
from perception.files import reading

MAX_BYTES = 256 << 20
"""Limit for a file's content, uncompressed: 76 kB for each question of SQA3D's test split."""

CURE = "write JSON, JSON lines or CSV in UTF-8 (`perception score sqa3d --help` lists the formats)"

ID_OF_KEY = "question_id"
"""Field that receives the key of {"question id": "answer"}."""

_GZIP, _ZIP, _PICKLE = b"\x1f\x8b", b"PK\x03\x04", b"\x80"
_SPACE = re.compile(r"\s+")
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Record:
    """One answer as its file states it, not yet interpreted.

    Attributes:
        where: File and place in it, for messages.
        fields: Values by field name.
    """

    where: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class Content:
    """Records of a file.

    Attributes:
        records: All of them, in order.
        repeated_keys: Number of JSON keys that stand twice in one object, with equal values.
    """

    records: list[Record]
    repeated_keys: int = 0


def read_content(path: Path) -> Content:
    """Returns the records of a JSON, JSON lines, CSV, TSV or PyTorch file, also compressed with gzip or in UTF-16.

    Raises:
        InputError: The file is missing, too large or malformed.
    """
    with reading(path, CURE):
        data = _read_bytes(path)
        if data.startswith(_ZIP):
            return Content(list(_of_values(path, [_load_tensors(path, data)])))
        if data.startswith(_PICKLE):
            raise InputError(
                f"{path}: expected answers, found a pickle, which runs code when it is read; {CURE}, or save it with "
                "torch.save"
            )
        text = _decode(data)
        if not text.strip():
            raise InputError(f"{path}: expected answers, found an empty file; {CURE}")
        if text.lstrip()[0] in "{[":
            return _read_json(path, text)
        return Content(list(_read_table(path, text)))


def read_text(path: Path) -> str:
    """Returns the text of a file, also compressed with gzip or in UTF-16."""
    with reading(path, "write it in UTF-8"):
        return _decode(_read_bytes(path))


def brief(value: object) -> str:
    """Returns a value as an error message shows it."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"


def _read_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if data.startswith(_GZIP):
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: expected at most {MAX_BYTES >> 20} MiB, found more; keep the ids and answers alone")
    return data


def _decode(data: bytes) -> str:
    """JSON's rule for the encoding (a byte order mark, or the zeros of the first characters) holds for tables too."""
    return data.decode(json.detect_encoding(data))


def _load_tensors(path: Path, data: bytes) -> Any:
    """Returns what `torch.save` wrote, with single numbers in the place of tensors of no dimension.

    Only plain data and tensors are loaded: no code of the file is run.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
    if not any(entry.filename.endswith("/data.pkl") for entry in entries):
        raise InputError(f"{path}: expected answers, found a zip archive; unpack it")
    if sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise InputError(f"{path}: expected at most {MAX_BYTES >> 20} MiB unpacked, found more; {CURE}")
    try:
        return _plain(torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: expected lists, texts, numbers and tensors, found other objects; save those alone, or {CURE}"
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, torch.Tensor) and value.ndim == 0 else value


class _Objects:
    """Builds JSON objects, and refuses a key that stands twice in one of them with different values."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.repeated_keys = 0

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        self.repeated_keys += len(pairs) - len(values)
        if len(values) < len(pairs):
            for key, value in pairs:
                if value != values[key]:
                    raise InputError(
                        f"{self.path}: expected each key once in an object, found {brief(key)} with {brief(value)} and "
                        f"with {brief(values[key])}; keep one"
                    )
        return values


def _read_json(path: Path, text: str) -> Content:
    """Reads one JSON document, or any number of them one after the other, as in JSON lines."""
    objects = _Objects(path)
    decoder = json.JSONDecoder(object_pairs_hook=objects)
    values, lines, start, line = [], [], 0, 1
    while (begin := _skip_space(text, start)) < len(text):
        line += text.count("\n", start, begin)
        try:
            value, start = decoder.raw_decode(text, begin)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{path}, line {error.lineno}: expected JSON, found {brief(text[error.pos : error.pos + 20])} "
                f"({error.msg}); remove the line if a run was interrupted in it, or {CURE}"
            ) from error
        values.append(value)
        lines.append(line)
        line += text.count("\n", begin, start)
    if len(values) == 1:
        return Content(list(_of_values(path, values)), objects.repeated_keys)
    records = [_record(f"{path}, line {line}", value) for line, value in zip(lines, values, strict=True)]
    return Content(records, objects.repeated_keys)


def _skip_space(text: str, start: int) -> int:
    found = _SPACE.match(text, start)
    return found.end() if found else start


def _of_values(path: Path, values: list[Any]) -> Iterator[Record]:
    """Yields the records of one document: a list, {"question id": answer}, {"some name": list}, or one record."""
    (document,) = values
    if isinstance(document, list):
        yield from (_record(f"{path}, item {number}", item) for number, item in enumerate(document))
    elif not isinstance(document, dict):
        raise InputError(f"{path}: expected a list or an object, found {type(document).__name__}; {CURE}")
    elif any(str(key).strip().isdecimal() for key in document):
        for key, value in document.items():
            fields = value if isinstance(value, dict) else {"answer": value}
            if str(fields.get(ID_OF_KEY, key)) != str(key):
                found = f"found {ID_OF_KEY} {brief(fields[ID_OF_KEY])} in it"
                raise InputError(f"{path}, key {brief(key)}: expected the answer to that question, {found}; keep one")
            yield Record(f"{path}, question {key}", {ID_OF_KEY: key, **fields})
    else:
        lists = [value for value in document.values() if _is_list_of_objects(value)]
        if len(lists) == 1:
            yield from _of_values(path, lists)
        elif document:
            yield Record(str(path), document)


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _record(where: str, value: Any) -> Record:
    """A list of plain answers has no field names; they are called `answer`."""
    if isinstance(value, dict):
        return Record(where, {str(key): item for key, item in value.items()})
    return Record(where, {"answer": value})


def _read_table(path: Path, text: str) -> Iterator[Record]:
    """Yields the rows of a table with a heading; columns answer_1, answer_2, … are one field `answers`."""
    heading = text.lstrip("\r\n").partition("\n")[0]
    separator = max(",\t;", key=heading.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    names: list[str] = []
    for row in rows:
        if not any(row):
            continue
        if not names:
            names = [name.strip() for name in row]
            if len(set(names)) < len(names):
                raise InputError(f"{path}: expected each column once, found the heading {brief(heading)}; rename one")
        elif len(row) != len(names):
            raise InputError(
                f"{path}, line {rows.line_num}: expected {len(names)} cells, found {len(row)}; put cells that hold "
                f"{brief(separator)} between double quotes"
            )
        else:
            yield Record(f"{path}, line {rows.line_num}", _row(dict(zip(names, row, strict=True))))


def _row(cells: dict[str, str]) -> dict[str, Any]:
    """An empty cell is no value."""
    ranked = [name for name in (f"answer_{rank}" for rank in range(1, len(cells) + 1)) if name in cells]
    others: dict[str, Any] = {name: cell or None for name, cell in cells.items() if name not in ranked}
    return others | {"answers": [cells[name] for name in ranked if cells[name]]} if ranked else others
