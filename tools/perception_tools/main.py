"""The `perception` command: one table of sub-commands, each imported only when it is run, so that help is instant."""

from __future__ import annotations

import sys
from importlib import import_module

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("perception_tools.commands.train:train", "train a recipe on a data set folder"),
    "evaluate": ("perception_tools.commands.evaluate:evaluate", "score a checkpoint: metrics.json and an HTML report"),
    "evaluate scene-qa": (
        "perception_tools.scene_qa.score:evaluate_scene_qa",
        "score anybody's answers to SQA3D's questions",
    ),
    "prepare forecasting": (
        "perception_tools.prepare:prepare_forecasting",
        "write scenarios to a store for repeated training",
    ),
    "prepare scannet": ("perception_tools.prepare:prepare_scannet", "write scanned rooms to a store"),
    "prepare sqa3d": ("perception_tools.prepare:prepare_sqa3d", "join questions to the rooms of a store"),
    "sample argoverse2": (
        "perception_tools.sample:sample_argoverse2",
        "make synthetic scenarios in Argoverse 2's format",
    ),
    "sample rooms": ("perception_tools.sample:sample_rooms", "make furnished rooms and questions about them"),
    "replay": (
        "perception_tools.forecasting.replay:replay",
        "play a recorded log through a node, as if the robot drove now",
    ),
    "serve block": (
        "perception_tools.commands.serve:serve_block",
        "answer for a frozen block on zenoh or gRPC, for any number of pipelines",
    ),
    "serve router": (
        "perception_tools.commands.serve:serve_router",
        "run the zenoh router that a robot's processes meet at",
    ),
    "node forecast": (
        "perception_tools.commands.node:forecast",
        "forecast a robot's tracked objects, from zenoh to zenoh",
    ),
    "node scene-qa": (
        "perception_tools.commands.node:scene_qa",
        "answer questions about the scene around a robot, or about a scan",
    ),
    "node foxglove": (
        "perception_tools.commands.node:show_in_foxglove",
        "show a deployment's topics live in Foxglove's app",
    ),
    "certificates": (
        "perception_tools.commands.certificates:certificates",
        "make the certificates that a deployment's security asks for",
    ),
    "up": (
        "perception_tools.commands.up:up",
        "start a deployment's router, block service and nodes; restart what dies",
    ),
    "block fetch": (
        "perception_tools.commands.block:fetch",
        "download the pretrained SmolLM2 block, check its hash, cache it",
    ),
    "block slice": (
        "perception_tools.commands.block:slice_block",
        "cut one block out of a checkpoint into a small file",
    ),
    "block fold": (
        "perception_tools.commands.block:fold",
        "write a trained model's block for deployment, in narrower weights",
    ),
    "block inspect": ("perception_tools.commands.block:inspect", "print what a block URI holds, as JSON"),
    "mcap recover": (
        "perception_tools.commands.mcap:recover_recording",
        "save what is in a recording that was cut off",
    ),
    "bench readers": (
        "perception_tools.forecasting.bench.readers:bench_readers",
        "time the scenario readers on real files",
    ),
    "bench cloud": ("perception_tools.scene_qa.bench.cloud:bench_cloud", "time sampling and grouping a scene's points"),
    "bench block": ("perception_tools.bench.block:bench_block", "time the block: readout, folded, shared, plain"),
    "bench scene-qa": ("perception_tools.scene_qa.bench.node:bench_scene_qa", "time a node's first and later answers"),
    "bench node": (
        "perception_tools.forecasting.bench.node:bench_node",
        "time the forecasting node: latency, memory, transport",
    ),
    "demo": ("perception_tools.forecasting.demo:demo", "make scenarios, train two recipes, evaluate, write the report"),
}
"""Words on the command line → (function to hand to tyro, one line of help)."""


def main(argv: list[str] | None = None) -> int:
    """Runs one sub-command; returns the process's exit code."""
    words = sys.argv[1:] if argv is None else argv
    name = next((n for n in (" ".join(words[:2]), " ".join(words[:1])) if n in COMMANDS), None)
    if name is None:
        return _show_help(words)
    return _run(name, words[len(name.split()) :])


def _show_help(words: list[str]) -> int:
    """Lists the sub-commands; complains first where the words name none."""
    asked = not words or words[0] in ("-h", "--help")
    prefix = [] if asked else [n for n in COMMANDS if n.split()[0] == words[0]]
    shown = prefix or list(COMMANDS)
    out = sys.stdout if asked or (prefix and len(words) > 1 and words[1] in ("-h", "--help")) else sys.stderr
    if out is sys.stderr:
        print(f"perception: no command {' '.join(words[:2])!r}; the commands are:", file=out)
    else:
        print(
            "usage: perception COMMAND [OPTIONS]\n\nEncoders that share one frozen language block. Commands:\n",
            file=out,
        )
    for command in shown:
        print(f"  {command:<20} {COMMANDS[command][1]}", file=out)
    print("\nperception COMMAND --help shows the options of one.", file=out)
    return 0 if out is sys.stdout else 2


def _run(name: str, words: list[str]) -> int:
    """Parses the words after the command's name by the function's signature and calls it."""
    import tyro

    from perception.errors import InputError

    module, function = COMMANDS[name][0].split(":")
    try:
        command = getattr(import_module(module), function)
        result = tyro.cli(command, prog=f"perception {name}", args=words)
    except InputError as error:
        print(f"perception {name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"\nperception {name}: {str(stop) or 'stopped'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main())
