"""The `perception` command: one table of sub-commands, each imported only when it is run, so that help is instant."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

from perception_tools.extras import missing_extra
from perception_tools.references import resolve
from perception_tools.tasks import Command, all_tasks

GROUPS = {
    "data": "Data",
    "train": "Train",
    "judge": "Evaluate and score",
    "robot": "Run in a robot",
    "block": "The frozen block",
    "bench": "Benchmarks",
}
"""Group of a command → its heading in the help."""

COMMANDS: dict[str, Command] = {
    "train": Command("perception_tools.commands.train:train", "train a recipe on a data set folder", "train"),
    "sweep": Command(
        "perception_tools.commands.sweep:sweep", "train a recipe over values of a field and seeds; one table", "train"
    ),
    "demo": Command(
        "perception_tools.commands.demo:demo",
        "make data, train on it, evaluate, write the report; --task NAME",
        "train",
    ),
    "evaluate": Command(
        "perception_tools.commands.evaluate:evaluate", "score trained runs: metrics.json and an HTML report", "judge"
    ),
    "analyse filtering": Command(
        "perception_tools.commands.analyse:filtering", "show what the block looks at, stage by stage", "judge"
    ),
    "analyse gradients": Command(
        "perception_tools.commands.analyse:gradients", "compare records' gradients, with the block and without", "judge"
    ),
    "replay": Command(
        "perception_tools.commands.replay:replay",
        "play a recorded log through a node, as if the robot drove now",
        "robot",
    ),
    "node": Command(
        "perception_tools.commands.node:node",
        "run a node of a deployment, from zenoh to zenoh",
        "robot",
    ),
    "node foxglove": Command(
        "perception_tools.commands.node:show_in_foxglove",
        "show a deployment's topics live in Foxglove's app",
        "robot",
    ),
    "serve block": Command(
        "perception_tools.commands.serve:serve_block",
        "answer for a frozen block on zenoh or gRPC, for any number of pipelines",
        "robot",
    ),
    "serve router": Command(
        "perception_tools.commands.serve:serve_router",
        "run the zenoh router that a robot's processes meet at",
        "robot",
    ),
    "up": Command(
        "perception_tools.commands.up:up",
        "start a deployment's router, block service and nodes; restart what dies",
        "robot",
    ),
    "certificates": Command(
        "perception_tools.commands.certificates:certificates",
        "make the certificates that a deployment's security asks for",
        "robot",
    ),
    "mcap recover": Command(
        "perception_tools.commands.mcap:recover_recording", "save what is in a recording that was cut off", "robot"
    ),
    "mcap play": Command(
        "perception_tools.commands.mcap:play_recordings", "play recordings to topics: a robot's log, a map", "robot"
    ),
    "init robot": Command(
        "perception_tools.commands.init:init_robot",
        "write a deployment's file for a model and a robot's topics, every key explained",
        "robot",
    ),
    "export": Command(
        "perception_tools.commands.export:export", "write a trained model as a checked ONNX file", "robot"
    ),
    "block fetch": Command(
        "perception_tools.commands.block:fetch",
        "download the pretrained SmolLM2 block, check its hash, cache it",
        "block",
    ),
    "block slice": Command(
        "perception_tools.commands.block:slice_block", "cut one block out of a checkpoint into a small file", "block"
    ),
    "block fold": Command(
        "perception_tools.commands.block:fold",
        "write a trained model's block for deployment, in narrower weights",
        "block",
    ),
    "block inspect": Command(
        "perception_tools.commands.block:inspect", "print what a block URI holds, as JSON", "block"
    ),
    "bench block": Command(
        "perception_tools.bench.block:bench_block", "time the block: readout, folded, shared, plain", "bench"
    ),
    "bench onnx": Command(
        "perception_tools.bench.onnx:bench_onnx", "time exported models in other runtimes beside PyTorch", "bench"
    ),
    "bench model": Command(
        "perception_tools.bench.model:bench_model",
        "time a trained model: its parts, and its block in each form",
        "bench",
    ),
}
"""Words on the command line → the command; those of the tasks come from their records."""


def all_commands() -> Mapping[str, Command]:
    """Every command by its words."""
    commands = dict(COMMANDS)
    for task in all_tasks():
        commands |= task.commands
    return commands


def main(argv: list[str] | None = None) -> int:
    """Runs one sub-command; returns the process's exit code."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["--version"]:
        print(f"frozen-perception {version('frozen-perception')}")
        return 0
    commands = all_commands()
    name = next((n for n in (" ".join(words[:2]), " ".join(words[:1])) if n in commands), None)
    if name is None:
        return _show_help(words, commands)
    return _run(name, commands[name], words[len(name.split()) :])


def _show_help(words: list[str], commands: Mapping[str, Command]) -> int:
    """Lists the sub-commands; complains first where the words name none."""
    wants_help = not words or words[0] in ("-h", "--help")
    own = {n: c for n, c in commands.items() if words and n.split()[0] == words[0]}
    out = sys.stdout if wants_help or (own and words[1:2] in (["-h"], ["--help"])) else sys.stderr
    if out is sys.stderr:
        given = [word for word in words[:2] if not word.startswith("-")] or words[:1]
        known = own or commands
        meant = get_close_matches(" ".join(given), known, 1, 0.7) or get_close_matches(given[0], known, 1, 0.7)
        hint = f"did you mean perception {meant[0]}? The" if meant else "the"
        print(f"perception: no command {' '.join(given)!r}; {hint} commands are:", file=out)
    else:
        print("usage: perception COMMAND [OPTIONS]\n\nEncoders that share one frozen language block.", file=out)
    for group, heading in GROUPS.items():
        shown = {n: c for n, c in (own or commands).items() if c.group == group}
        if shown:
            print(f"\n{heading}:", file=out)
        for command in shown:
            print(f"  {command:<20} {shown[command].summary}", file=out)
    print("\nperception COMMAND --help shows the options of one; --json FILE writes what it gives as JSON.", file=out)
    return 0 if out is sys.stdout else 2


def _run(name: str, command: Command, words: list[str]) -> int:
    """Runs a command with the words after its name; every mistake of the user's ends in one sentence."""
    from perception.errors import InputError

    try:
        words, json_file = _take_json(resolve(command.function), words)
        result = _call(name, resolve(command.function), words)
        if json_file is not None:
            _write_json(json_file, result)
    except InputError as error:
        print(f"perception {name}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        sentence = missing_extra(error)
        if sentence is None:
            raise
        print(f"perception {name}: {sentence}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"\nperception {name}: {str(stop) or 'stopped'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    return result if isinstance(result, int) else 0


def _write_json(path: Path, result: Any) -> None:
    """Writes what a command gave; shows it where that cannot be written, since it may have taken hours."""
    from perception.errors import InputError
    from perception_tools.json_files import write_json

    try:
        write_json(path, result)
    except InputError:
        print(json.dumps(result, indent=2))
        raise


def _call(name: str, function: Callable[..., Any], words: list[str]) -> Any:
    """Calls a command: with its words where it parses them itself, otherwise by its signature."""
    if list(signature(function).parameters) == ["words"]:
        return function(words)
    return parse(name, function, words)


def parse(name: str, function: Callable[..., Any], words: list[str], **options: Any) -> Any:
    """Parses words by a function's signature and calls it.

    Args:
        name: The command's words, for its help.
        function: Its signature gives the options, its docstring the help.
        words: After the command's own.
        options: Options of `tyro.cli`.
    """
    import tyro

    from perception_tools.help_text import join_lines

    function.__doc__ = join_lines(function.__doc__ or "")
    return tyro.cli(function, prog=f"perception {name}", args=words, **options)


def _take_json(function: Callable[..., Any], words: list[str]) -> tuple[list[str], Path | None]:
    """Takes `--json FILE` out of the words, for commands that do not write that file themselves."""
    from perception.errors import InputError

    if "json" in signature(function).parameters or "--json" not in words:
        return words, None
    at = words.index("--json")
    if at + 1 >= len(words) or words[at + 1].startswith("--"):
        raise InputError("--json: expected a file to write; give --json FILE")
    return words[:at] + words[at + 2 :], Path(words[at + 1])


if __name__ == "__main__":
    sys.exit(main())
