"""Changes one operator or constant at a time and sees whether tests notice: `mutants.py [--sample N] [PATTERN…]`.

Mutmut makes the changes, in a copy of the tree, and runs the tests that reach the changed function. It leaves decorated
functions alone (properties, cached and no_grad functions) and code outside of functions. A PATTERN chooses mutants by
name, such as `perception.metrics.*`; all are many hours, so `--sample 20` takes at most 20 of each file, by the seed.

Prints each changed line that no test noticed, unless `mutants.txt` explains it or `unnoticeable` knows its kind, and
fails below 95 %.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
WORK = CHECKOUT / "out" / "mutants"
PACKAGES = ("perception", "datasets/perception_datasets", "nodes/perception_nodes", "tools/perception_tools")
MUTATED = {
    "perception/frozen/*": ["tests/perception/frozen"],
    "perception/kernels/*": ["tests/perception/kernels"],
    "perception/metrics/*": ["tests/perception/metrics"],
    "perception/heads/*": ["tests/perception/heads"],
    "perception/losses/*": ["tests/perception/losses"],
    "perception_datasets/stores/*": ["tests/perception_datasets/stores"],
    "perception_datasets/argoverse/*": ["tests/perception_datasets/argoverse"],
    "perception_datasets/scannet/*": ["tests/perception_datasets/scannet"],
    "perception_datasets/sqa3d/*": ["tests/perception_datasets/sqa3d"],
    "perception_nodes/forecasting/history.py": ["tests/perception_nodes/forecasting/test_history.py"],
    "perception/traffic/resampling.py": ["tests/perception/traffic/test_resampling.py"],
    "perception_nodes/block/service.py": ["tests/perception_nodes/block/test_service.py"],
    "perception_nodes/block/cost.py": ["tests/perception_nodes/block/test_cost.py"],
    "perception_nodes/block/limits.py": ["tests/perception_nodes/block/test_limits.py"],
    "perception_nodes/block/request.py": ["tests/perception_nodes/block/test_request.py"],
}
"""Files that are changed → the tests that should notice."""
NOTICED_SHARE = 0.95
EXPLAINED_FILE = Path(__file__).with_name("mutants.txt")
"""`NAME: why no test can notice`, a line each; names as this program prints them."""
MESSAGE = re.compile(r"\braise\b|\bbad_file\(|\b(expected|found|reason)\b")
"""Lines that make a message."""
ENCODING = re.compile(r',?\s*encoding=("utf-8"|"UTF-8"|None)')
NOTICED = {1, 3, 24, 36, 152, 255, -24, -9, -11}
"""Exit codes of mutmut's workers: a test failed, ran too long, or the process died."""
SURVIVED, UNREACHED = {0}, {5, 33}


def main() -> int:
    """Runs the chosen mutants and reports; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="names of mutants; all without one")
    parser.add_argument("--sample", type=int, help="maximum number of mutants of each file")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants tried side by side")
    options = parser.parse_args()
    patterns = options.patterns or ["*"]
    chosen = {files: tests for files, tests in MUTATED.items() if _may_match(files, patterns)}
    copy_tree(chosen)
    names = [name for name in list_mutants() if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    if options.sample is not None:
        names = take_sample(names, options.sample, options.seed)
    if not names:
        print(f"no mutant is called {' or '.join(patterns)}", file=sys.stderr)
        return 2
    mutmut("run", "--max-children", str(options.jobs), *names)
    return report(names)


def _may_match(files: str, patterns: list[str]) -> bool:
    """Whether a pattern may choose mutants of some files; both end in wildcards."""
    module = files.removesuffix(".py").removesuffix("/*").replace("/", ".")
    stems = [pattern.partition("*")[0].rstrip(".") for pattern in patterns]
    return any(module.startswith(stem) or stem.startswith(module) for stem in stems)


def copy_tree(chosen: dict[str, list[str]]) -> None:
    """Copies packages and tests into the layout that mutmut knows; results of the last run go."""
    shutil.rmtree(WORK, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__", "corpus")
    for package in PACKAGES:
        shutil.copytree(CHECKOUT / package, WORK / "src" / Path(package).name, ignore=ignored)
    shutil.copytree(CHECKOUT / "tests", WORK / "tests", ignore=ignored)
    settings = {
        "source_paths": ["src"],
        "only_mutate": [f"src/{files}" for files in chosen],
        "pytest_add_cli_args_test_selection": [test for tests in chosen.values() for test in tests],
        # torch.compile cannot trace the switch that chooses a mutant; slow tests would run once for each mutant
        "pytest_add_cli_args": ["-x", "-p", "no:xdist", "-k", "not compiles", "-m", "not slow"],
        "process_isolation": "forkserver",  # torch does not survive a fork once it has computed
        "use_setproctitle": False,
        "debug": True,  # so that the reason is printed where the tests fail without a change
        "timeout_constant": 20.0,
        "timeout_multiplier": 5.0,
        "do_not_mutate_patterns": [r"^\s*(_log|logger)\.", r"\btqdm\("],  # what is logged, and progress bars
    }
    # without jaxtyping's hook, which refuses to be loaded twice in a process: shapes are not checked at run time
    pytest = {
        "addopts": "-p no:dash --import-mode=importlib -q",
        "pythonpath": ["tests"],
        "markers": ["slow: slow"],
        "filterwarnings": ["error"],
    }
    lines = ["[tool.pytest.ini_options]", *_toml(pytest), "[tool.mutmut]", *_toml(settings)]
    (WORK / "pyproject.toml").write_text("\n".join(lines) + "\n")


def _toml(table: dict) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]


def mutmut(*words: str, may_fail: bool = False) -> str:
    """Runs mutmut in the copy; returns what it printed."""
    mutated = WORK / "mutants" / "src"  # for processes that tests start
    mutated.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(mutated)}
    finished = subprocess.run(
        [sys.executable, "-m", "mutmut", *words], cwd=WORK, env=environment, capture_output=True, text=True, check=False
    )
    if finished.returncode != 0 and not may_fail:
        print(finished.stdout[-4000:] + finished.stderr[-4000:], file=sys.stderr)
        raise SystemExit(finished.returncode)
    return finished.stdout


def list_mutants() -> list[str]:
    """Makes the mutants, and finds which tests reach which; returns their names."""
    printed = mutmut("run", "none", may_fail=True)  # it makes all mutants before it looks for those that are named so
    names = sorted(results())
    if not names or not (WORK / "mutants" / "mutmut-stats.json").exists():
        raise SystemExit(f"mutmut made no mutants:\n{printed[-4000:]}")
    return names


def results() -> dict[str, int | None]:
    """Exit code of each mutant, by name; None for one that was not tried."""
    codes = {}
    for file in (WORK / "mutants" / "src").rglob("*.py.meta"):
        codes |= json.loads(file.read_text())["exit_code_by_key"]
    return codes


def module_of(name: str) -> str:
    """The module of a mutant."""
    return name.rpartition(".")[0]


def take_sample(names: list[str], most: int, seed: int) -> list[str]:
    """Takes a sample of each module's names."""
    by_module: dict[str, list[str]] = {}
    for name in names:
        by_module.setdefault(module_of(name), []).append(name)
    chance = random.Random(seed)
    return [name for of in by_module.values() for name in chance.sample(of, min(most, len(of)))]


def report(names: list[str]) -> int:
    """Prints what was noticed in each module, and what was not; returns the exit code."""
    lines = EXPLAINED_FILE.read_text().splitlines() if EXPLAINED_FILE.exists() else []
    explained = {line.partition(": ")[0] for line in lines if not line.startswith("#")}
    codes = results()
    noticed, total, kinds = Counter(), Counter(), Counter()
    for name in names:
        code, module = codes[name], module_of(name)
        total[module] += 1
        if code in NOTICED or name in explained:
            noticed[module] += 1
        elif code in SURVIVED | UNREACHED:
            removed, added = change(name)
            if kind := unnoticeable(removed, added):
                noticed[module] += 1
                kinds[kind] += 1
            else:
                print(f"\n{name}{' (no test reaches it)' if code in UNREACHED else ''}")
                print("\n".join([f"-{line}" for line in removed] + [f"+{line}" for line in added]))
        else:
            raise SystemExit(f"{name}: mutmut gave the exit code {code}, which this program does not know")
    print()
    for kind, count in kinds.items():
        print(f"{count:>5} that no test can notice: {kind}")
    for module in total:
        print(f"{noticed[module]:>5} of {total[module]:>5}  {module}")
    share = noticed.total() / total.total()
    print(f"{noticed.total():>5} of {total.total():>5}  noticed: {share:.1%}")
    return 0 if share >= NOTICED_SHARE else 1


def change(name: str) -> tuple[list[str], list[str]]:
    """The lines that a mutant removes and those that it adds."""
    lines = [line for line in mutmut("show", name).splitlines() if line[:3] not in ("+++", "---")]
    return [line[1:] for line in lines if line[:1] == "-"], [line[1:] for line in lines if line[:1] == "+"]


def unnoticeable(removed: list[str], added: list[str]) -> str | None:
    """Names the kind of a change that tests cannot notice, or should not; None for all others."""
    before, after = "\n".join(removed), "\n".join(added)
    if before.lower() == after.replace("XX", "").lower():
        if all(MESSAGE.search(line) for line in removed):
            return "the wording of a message"
        changed = [text for text in re.findall(r'"[^"]*"', before) if text not in after]
        return "the wording of a sentence" if changed and all(text.count(" ") >= 2 for text in changed) else None
    if ENCODING.sub("", before) == ENCODING.sub("", after):
        return "the encoding, which is UTF-8 anyway where tests run"
    if _without_device(before) == _without_device(after):
        return "the device, which is the CPU in tests"
    if _without_strict(before) == _without_strict(after):
        return "that zip checks lengths, which are equal"
    if re.sub(r"(astype\(|dtype=)np\.float64", r"\1None", before) == after:
        return "None for float64, which is what NumPy takes it for"
    if before == after.replace("seed: int = 1", "seed: int = 0"):
        return "the seed unless one is given, for which any number does"
    if before == re.sub(r"=None\b", "=False", after):
        return "None for False; the change to True is made too"
    return None


def _without_strict(code: str) -> str:
    """Code without the arguments `strict=…` of zip."""
    return re.sub(r"(\bzip\(.*?), (strict=\w+)?\)", r"\1)", code)


def _without_device(code: str) -> str:
    """Code without arguments `device=…`."""
    return re.sub(r",\s*(?=\))", "", re.sub(r"\bdevice=[\w.]+(\([^()]*\))?(, )?", "", code))


if __name__ == "__main__":
    sys.exit(main())
