"""The processes of a sweep: several side by side, each with its share of cores and GPUs, stopped with the sweep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from perception.files import writing
from perception_tools.analysis.sweep.plan import PlannedRun

POLL_S = 0.1


@dataclass(frozen=True)
class Shares:
    """How a machine is shared out.

    Attributes:
        jobs: Number of runs side by side.
        threads: Number of threads of every process.
        gpus: For each place beside the others, the GPUs that its run sees; empty where there are none.
    """

    jobs: int
    threads: int
    gpus: tuple[tuple[str, ...], ...] = ()

    def environment(self, place: int) -> dict[str, str]:
        """Environment of the run at a place; a number of threads that the user has set stays."""
        made = {"OMP_NUM_THREADS": str(self.threads), **os.environ, "PYTHONUNBUFFERED": "1"}
        if self.gpus:
            made["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus[place])
        return made


def share_out(jobs: int | None, devices: int, cores: int, gpus: Sequence[str]) -> Shares:
    """Shares cores and GPUs out.

    Args:
        jobs: Number of runs side by side; None for what the machine has room for.
        devices: Number of processes of each run.
        cores: Number of cores.
        gpus: Their names for `CUDA_VISIBLE_DEVICES`; empty for training on cores.
    """
    room = len(gpus) // devices if gpus else cores // 2 // devices
    jobs = jobs or max(1, room)
    threads = max(1, cores // (jobs * devices))
    if not gpus:
        return Shares(jobs, threads)
    starts = range(0, jobs * devices, devices)
    seen = [[gpus[(start + i) % len(gpus)] for i in range(devices)] for start in starts]
    return Shares(jobs, threads, tuple(tuple(dict.fromkeys(names)) for names in seen))


def available_cores() -> int:
    """Number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_gpus(accelerator: str) -> list[str]:
    """Names of the GPUs that Lightning would train on, for `CUDA_VISIBLE_DEVICES`."""
    if accelerator not in ("auto", "gpu", "cuda"):
        return []
    import torch

    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return (named or [str(i) for i in range(torch.cuda.device_count())])[: torch.cuda.device_count()]


def progress_file(planned: PlannedRun) -> Path:
    """Where the process of a run says how far it is."""
    return planned.log.with_suffix(".progress")


@dataclass
class Job:
    """A process at work.

    Attributes:
        planned: Its run.
        process: The process; it ends if the other end of its standard input is closed.
        started: When, by the monotonic clock.
        resumed_at: Part of training that an earlier process had done; None until that is known.
    """

    planned: PlannedRun
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    resumed_at: float | None = None

    @classmethod
    def start(cls, planned: PlannedRun, command: list[str], environment: dict[str, str], lock: int) -> Job:
        """Starts the process of a run in a group of its own, so that Ctrl-C reaches the sweep alone."""
        with writing(planned.log):
            planned.log.parent.mkdir(parents=True, exist_ok=True)
            progress_file(planned).unlink(missing_ok=True)
            log = planned.log.open("wb")
        with log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                pass_fds=(lock,),
            )
        return cls(planned, process)

    def part_done(self) -> float:
        """Part of its own work that the process has done so far."""
        try:
            part = float(progress_file(self.planned).read_text())
        except (OSError, ValueError):
            return 0.0
        if self.resumed_at is None:
            self.resumed_at = part
        return (part - self.resumed_at) / (1 - self.resumed_at) if self.resumed_at < 1 else 0.0

    def close(self) -> int:
        """Tidies up after the process has ended; returns its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()  # ends what it may have left behind
        progress_file(self.planned).unlink(missing_ok=True)
        return self.process.wait()

    def kill(self) -> None:
        """Ends the process and all that it started, at once; a run is made to be killed."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.close()


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        planned: The run.
        code: Exit code of its process.
        seconds: How long it took.
    """

    planned: PlannedRun
    code: int
    seconds: float


def run_jobs(
    runs: Sequence[PlannedRun],
    command: Callable[[PlannedRun], list[str]],
    shares: Shares,
    ended: Callable[[Outcome], str],
    lock: int,
    finished: int = 0,
) -> None:
    """Runs processes side by side until all have ended; whatever ends this ends them too.

    Args:
        runs: What is to be run, in this order.
        command: Command line of a run's process.
        shares: How many run side by side, and with what.
        ended: Called after each; gives a line to show.
        lock: File descriptor that every process keeps open, from `alone_in`.
        finished: Number of runs of the sweep that were finished before, for the progress bar.
    """
    waiting, places = deque(runs), deque(range(shares.jobs))
    at_work: dict[int, Job] = {}
    with progress_bar(len(runs) + finished, finished) as bar:
        try:
            while waiting or at_work:
                while waiting and places:
                    place = places.popleft()
                    planned = waiting.popleft()
                    at_work[place] = Job.start(planned, command(planned), shares.environment(place), lock)
                for place in [place for place, job in at_work.items() if job.process.poll() is not None]:
                    job = at_work.pop(place)
                    places.append(place)
                    bar.write(ended(Outcome(job.planned, job.close(), time.monotonic() - job.started)), file=sys.stderr)
                done = len(runs) + finished - len(waiting) - len(at_work)
                bar.update(max(0.0, done + sum(job.part_done() for job in at_work.values()) - bar.n))
                time.sleep(POLL_S)
        finally:
            for job in at_work.values():
                job.kill()


def progress_bar(total: int, finished: int) -> tqdm:
    """Counts runs, with parts of those at work, and estimates when all will be done."""
    return tqdm(
        total=total,
        initial=finished,
        desc="sweep",
        smoothing=0,
        miniters=0,
        mininterval=0.5 if sys.stderr.isatty() else 60,
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} runs [{elapsed} < {remaining}]",
    )


def last_lines(log: Path, count: int = 3) -> str:
    """The last lines that a process printed, for the reason why it failed."""
    try:
        text = log.read_bytes()[-20_000:].decode(errors="replace")
    except OSError:
        return ""
    lines = [line.rpartition("\r")[2].strip() for line in text.split("\n")]  # progress bars end in \r
    return "\n".join([line for line in lines if line][-count:])
