import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from perception.errors import InputError
from perception.files import alone_in
from perception_datasets.worker_pool import check_processes, stopping, worker_pool


def _end_by_force(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_is_one_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=f"^{tmp_path}: a process .* ended by force.*; run the command again"),
        alone_in(tmp_path, "the test") as lock,
        worker_pool(1, lock, tmp_path) as pool,
    ):
        list(pool.map(_end_by_force, range(2)))


def test_other_numbers_of_processes_are_refused() -> None:
    check_processes(None)
    check_processes(1)
    with pytest.raises(InputError, match="processes: expected at least 1, got 0"):
        check_processes(0)


def test_outside_of_a_pool_nothing_is_stopping() -> None:
    assert not stopping()


MAKING = {
    "scenarios": "from perception_datasets.procedural.maker import make_split\n"
    "run = lambda out: make_split(out, 'train', count=4000, seed=0, processes=2)",
    "rooms": "from perception_datasets.rooms.maker import make_rooms\n"
    "run = lambda out: make_rooms(out, count=4000, seed=0, processes=2)",
}


@pytest.mark.parametrize("what", MAKING)
def test_processes_that_make_samples_end_with_the_one_that_started_them(what: str, tmp_path: Path) -> None:
    script = f"import sys\nfrom pathlib import Path\n{MAKING[what]}\n"
    script += "if __name__ == '__main__':\n    for one in run(Path(sys.argv[1])):\n        print(one, flush=True)\n"
    (tmp_path / "making.py").write_text(script)
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "making.py"), str(out)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline(), "it made nothing"
    process.kill()
    process.communicate()
    with alone_in(out, "the test"):  # the processes hold the folder as long as they live
        pass
