"""Reads damaged copies of files, each set of them in a process of its own.

Standard input has a JSON object a line, a `Request`; each is answered on standard output by the exit status of the
process that read the copies. It is a fork of this one, which has imported the test file before: many requests take the
time of one import.

FUNCTION of a test file is given a folder in which one file is damaged. It may return, or raise InputError. Every other
exception is printed as one line of JSON, with the case's number, before the next case. A line with a number alone says
which case is read next: the last of them names the case that killed or stalled the process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from perception.errors import InputError

ADDRESS_SPACE = 6 << 30
"""Bytes beyond what the process has mapped at the start: a bomb must not take the machine down with it."""
MAX_GROWTH = 1 << 30
MAX_SECONDS = 10.0
"""Processor time; a case that waits is ended by the alarm."""
_EXTREMES = (0, 1, 127, 2**15 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1)
_WORDS = ("NaN", "inf", "-inf", "1e300", "-1", "0", "", "99999999999999999999", "0.5", "true", "x", "[" * 20_000)
_VALUES = (None, True, -1, 0, 1.5, 10**30, float("nan"), float("inf"), "", "x", [], [[]], {}, {"a": 1}, [None] * 3)
_NUMBER = re.compile(rb"-?\d+\.?\d*(?:[eE][-+]?\d+)?")


def damage(data: bytes, chance: random.Random) -> bytes:
    """Returns damaged content; as text or JSON is damaged where it is that, so that more than its syntax breaks."""
    ways = [_flip, _flip, _cut, _overwrite, _overwrite, _remove, _repeat, _insert, _set_integer, _set_integer]
    if data[:1] in (b"{", b"["):
        ways += [_change_json] * 10
    elif _is_text(data):
        ways += [_change_number] * 8
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        data = chance.choice(ways)(data, chance)
    return data


def _is_text(data: bytes) -> bool:
    return b"\0" not in data[:4096] and all(byte >= 9 for byte in data[:4096])


def _flip(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _part(data: bytes, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + chance.choice((1, 4, 8, 32, 256, 4096)))


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.choice((0, 1, 8, len(data) // 2, max(0, len(data) - 1), chance.randrange(len(data) + 1)))]


def _overwrite(data: bytes, chance: random.Random) -> bytes:
    start, end = _part(data, chance)
    filling = chance.choice((b"\0", b"\xff", None))
    return data[:start] + (filling * (end - start) if filling else chance.randbytes(end - start)) + data[end:]


def _remove(data: bytes, chance: random.Random) -> bytes:
    start, end = _part(data, chance)
    return data[:start] + data[end:]


def _repeat(data: bytes, chance: random.Random) -> bytes:
    start, end = _part(data, chance)
    return data[:end] + data[start:end] * chance.choice((1, 2, 50)) + data[end:]


def _insert(data: bytes, chance: random.Random) -> bytes:
    start, end = _part(data, chance)
    return data[:start] + chance.randbytes(end - start) + data[start:]


def _set_integer(data: bytes, chance: random.Random) -> bytes:
    size = chance.choice((2, 4, 8))
    if len(data) < size:
        return data
    start = chance.randrange(len(data) - size + 1) // size * size
    value = chance.choice(_EXTREMES) % (1 << (8 * size))
    return data[:start] + value.to_bytes(size, "little") + data[start + size :]


def _change_number(data: bytes, chance: random.Random) -> bytes:
    found = list(_NUMBER.finditer(data))
    if not found:
        return data
    number = chance.choice(found)
    return data[: number.start()] + chance.choice(_WORDS).encode() + data[number.end() :]


def _change_json(data: bytes, chance: random.Random) -> bytes:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return _flip(data, chance)
    places: list[tuple[Any, Any]] = []
    waiting = [values]
    while waiting and len(places) < 10_000:
        node = waiting.pop()
        inside = list(node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ())
        places += [(node, key) for key, _ in inside]
        waiting += [value for _, value in inside]
    if not places:
        return json.dumps(chance.choice(_VALUES)).encode()
    node, key = chance.choice(places)
    change = chance.randrange(4)
    if change == 0:
        del node[key]
    elif change == 1 and isinstance(node, dict):
        node[f"{key}_"] = node.pop(key)
    elif change == 2 and isinstance(node, list):
        node.append(node[key])
    else:
        node[key] = chance.choice(_VALUES)
    return json.dumps(values).encode()


def run(read: Callable[[Path], Any], seeds: Path, cases: range, seed: int, scratch: Path) -> None:
    """Reads one damaged copy after another."""
    files = sorted(path.relative_to(seeds) for path in seeds.rglob("*") if path.is_file())
    originals = {file: (seeds / file).read_bytes() for file in files}
    shutil.copytree(seeds, scratch, dirs_exist_ok=True)
    for case in cases:
        print(case, flush=True)
        chance = random.Random(f"{seed} {case}")
        file = chance.choice(files)
        kind = chance.randrange(40)
        if kind == 0:
            (scratch / file).unlink()
        else:
            swapped = originals[chance.choice(files)] if kind == 1 else None
            (scratch / file).write_bytes(damage(originals[file], chance) if swapped is None else swapped)
        before, start = _peak(), time.process_time()
        found = _read(read, scratch)
        grown, seconds = _peak() - before, time.process_time() - start
        if seconds > MAX_SECONDS:
            found = found or f"took {seconds:.0f} s"
        if grown > MAX_GROWTH:
            found = found or f"grew by {grown >> 20} MB"
        if found:
            print(json.dumps({"case": case, "file": str(file), "found": found}), flush=True)
        (scratch / file).write_bytes(originals[file])


def _read(read: Callable[[Path], Any], folder: Path) -> str | None:
    try:
        read(folder)
    except InputError as error:
        return None if str(error).strip() else "an InputError without a message"
    except Exception:
        return traceback.format_exc(limit=-4)
    return None


def _peak() -> int:
    """Most memory that this process has held; `ru_maxrss` counts that of the process it was forked from, too."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


@dataclass(frozen=True)
class Request:
    """Which copies to read.

    Attributes:
        source: Test file.
        function: Name of its function that reads a folder.
        seeds: Folder with files that can be read.
        first: Number of the first case.
        last: Number after that of the last case.
        seed: Seed of the damage.
        scratch: Folder to be made, for the damaged copies.
        seconds: Time after which SIGALRM ends the process.
        output: File for what the process prints.
        errors: File for what it prints on standard error.
    """

    source: str
    function: str
    seeds: str
    first: int
    last: int
    seed: int
    scratch: str
    seconds: int
    output: str
    errors: str


def load(source: str) -> ModuleType:
    """Imports a test file by its path."""
    spec = importlib.util.spec_from_file_location("target", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answer(request: Request, read: Callable[[Path], Any]) -> None:
    """Runs the cases of a request in this process."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + ADDRESS_SPACE, resource.RLIM_INFINITY))
    read(Path(request.seeds))  # undamaged, it can be read
    run(read, Path(request.seeds), range(request.first, request.last), request.seed, Path(request.scratch))


def answer_apart(request: Request, read: Callable[[Path], Any]) -> int:
    """Runs the cases of a request in a fork of this process, and returns its exit status; negative for a signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        signal.alarm(request.seconds)
        for path, stream in ((request.output, 1), (request.errors, 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        answer(request, read)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """Answers requests until there are no more."""
    modules: dict[str, ModuleType] = {}
    for line in sys.stdin:
        request = Request(**json.loads(line))
        if request.source not in modules:
            modules[request.source] = load(request.source)
        print(answer_apart(request, getattr(modules[request.source], request.function)), flush=True)


if __name__ == "__main__":
    main()
