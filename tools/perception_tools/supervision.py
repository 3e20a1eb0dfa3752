"""Runs the processes of `perception up` under supervisord (http://supervisord.org), in a process of its own.

Supervisor is pure Python and does what is needed here: it restarts a process that dies, waits a second longer after
every failed start, and on SIGTERM stops all processes, by force those that do not stop. (honcho stops all when one
dies; circus restarts without back-off.) It lacks four things, which are added here: its processes end with it, however
it ends; a process that ends with exit status 2, a mistake of the user's, is not started again; their output goes to its
own, line by line, whatever that is (supervisor opens /dev/fd/1, which fails where that is systemd's journal); and it
ends when there is nothing left to run.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shlex
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from supervisor import events
from supervisor.medusa import asyncore_25
from supervisor.options import ProcessConfig, ServerOptions, decode_wait_status
from supervisor.process import Subprocess
from supervisor.states import STOPPED_STATES, ProcessStates, SupervisorStates
from supervisor.supervisord import Supervisor
from typing_extensions import override

from perception.files import LOCK_FILE
from perception_nodes.operations.watchdog import ALIVE, READY, notify

MISTAKE = 2
"""Exit status of a process that cannot run as it was started: an input of the user's must change first."""
STABLE_S = 5
"""A process that dies sooner has failed to start, and is started again 1, 2, 3, … s later."""
RETRIES = 60
"""Number of failed starts after which a process is given up; they take half an hour."""
STOP_S = 3
"""Seconds from SIGTERM to SIGKILL; all processes stop at the same time."""
CONFIGURATION, SOCKET = "supervisord.conf", "supervisor.sock"
_PR_SET_PDEATHSIG = 1
"""Constant of linux/prctl.h."""
_LONGEST_LINE = 1 << 16
_OUTPUTS = {"stdout": 1, "stderr": 2}


def append_output() -> None:
    """Makes stdout and stderr append: processes that share a file would overwrite each other's lines otherwise."""
    for descriptor in _OUTPUTS.values():
        with suppress(OSError):  # closed
            fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)


def configuration_of(programs: Mapping[str, list[str]], folder: Path) -> str:
    """Returns supervisord's configuration.

    Args:
        programs: Command of every process by its name, in the order of their start.
        folder: Folder of the supervisor's own socket and pid file; only its owner may use the socket.
    """
    sections = [
        f"[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={folder}/supervisord.pid",
        f"[unix_http_server]\nfile={folder}/{SOCKET}\nchmod=0700",
        f"[supervisorctl]\nserverurl=unix://{folder}/{SOCKET}",
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
        f"[group:perception]\nprograms={','.join(programs)}",  # a group is stopped at once, not one by one
    ]
    for number, (name, command) in enumerate(programs.items()):
        quoted = shlex.join(command).replace("%", "%%")
        sections.append(
            f"[program:{name}]\ncommand={quoted}\npriority={number}\nautorestart=unexpected\nexitcodes={MISTAKE}\n"
            f"startsecs={STABLE_S}\nstartretries={RETRIES}\nstopwaitsecs={STOP_S}\nkillasgroup=true\nstopasgroup=true\n"
            "stdout_logfile=NONE\nstderr_logfile=NONE\nstdout_events_enabled=true\nstderr_events_enabled=true\n"
            'environment=NOTIFY_SOCKET=""'  # the supervisor alone answers systemd
        )
    return "\n\n".join(sections).replace(f"{folder}", str(folder).replace("%", "%%")) + "\n"


def supervise(configuration: Path, required: str) -> int:
    """Runs the processes of a configuration until SIGTERM, or until there is nothing left to run.

    Args:
        configuration: File of supervisord.
        required: Name of the process without which the others are of no use.

    Returns:
        0 after SIGTERM. Otherwise 2 if a mistake has ended a process, 1 if another reason has.
    """
    append_output()
    options = _Options()
    options.realize(["-c", str(configuration)])
    options.first, options.test = True, False
    supervisor = _Supervisor(options, required)
    try:
        with suppress(asyncore_25.ExitNow):
            supervisor.main()
        options.close_httpservers()
        options.close_logger()
    finally:
        remove_run(configuration)
    return supervisor.status


def remove_run(configuration: Path) -> None:
    """Removes a configuration with its folder and its lock; only their holder may do that."""
    for path in (configuration, configuration.with_name(LOCK_FILE)):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # there is something else in it
        configuration.parent.rmdir()


class _Options(ServerOptions):
    first: bool
    test: bool
    pid: int

    @override
    def processes_from_section(self, parser, section, group_name, klass=None):
        return super().processes_from_section(parser, section, group_name, _Config)


class _Config(ProcessConfig):
    @override
    def make_process(self, group=None):
        process = _Process(self)
        process.group = group
        return process


class _Process(Subprocess):
    config: Any
    last_status = 0
    """Exit status of its last run; -1 if a signal ended it."""

    @override
    def _prepare_child_fds(self):
        """Runs in the child, before its program."""
        super()._prepare_child_fds()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self.config.options.pid:  # it ended before that was asked for
            os._exit(1)

    @override
    def finish(self, pid, sts):
        self.last_status, _ = decode_wait_status(sts)
        if self.last_status == MISTAKE:  # however soon, it is no failed start, which would be tried again
            self.laststart = min(self.laststart, time.time() - self.config.startsecs)
        super().finish(pid, sts)


class _Supervisor(Supervisor):
    """Passes on what the processes print, reports those that are given up, and ends when none is left.

    Attributes:
        status: Exit status of `perception up`.
    """

    def __init__(self, options: _Options, required: str) -> None:
        super().__init__(options)
        self.options.pid = os.getpid()
        self.status = 0
        self._required = required
        self._lines = {channel: _Lines(descriptor) for channel, descriptor in _OUTPUTS.items()}

    @override
    def runforever(self):
        events.subscribe(events.ProcessLogEvent, self._pass_on)
        events.subscribe(events.ProcessStateEvent, self._end_lines)
        events.subscribe(events.ProcessStateExitedEvent, self._on_end)
        events.subscribe(events.ProcessStateFatalEvent, self._on_end)
        events.subscribe(events.Tick5Event, lambda _: notify(ALIVE))
        notify(READY)
        super().runforever()

    def _pass_on(self, event: Any) -> None:
        self._lines[event.channel].write(event.process.config.name, event.data)

    def _end_lines(self, event: Any) -> None:
        process = event.process
        if process.state in STOPPED_STATES:
            for lines in self._lines.values():
                lines.flush(process.config.name)

    def _on_end(self, event: Any) -> None:
        """A process has ended by itself; if it is not to be started again, says so."""
        process = event.process
        if process.state != ProcessStates.FATAL and process.last_status != MISTAKE:
            return
        name, reason = process.config.name, self._lines["stderr"].last.get(process.config.name, "it gave no reason")
        mistake = process.last_status == MISTAKE
        why = f"exit status {MISTAKE}" if mistake else f"{process.config.startretries} failed starts in a row"
        left = [other.config.name for other in self._processes() if not _is_out(other) and other is not process]
        ends = self._required not in left or left == [self._required]
        then = "nothing is left to run, so all ends" if ends else f"{', '.join(left)} go on without it"
        _say(f"perception up: {name} is not started again after {why} ({reason}); {then}")
        if ends:
            self.status = MISTAKE if mistake else 1
            self.options.mood = SupervisorStates.SHUTDOWN

    def _processes(self) -> list[_Process]:
        groups: Any = self.process_groups
        return [process for group in groups.values() for process in group.processes.values()]


def _is_out(process: _Process) -> bool:
    gave_up = process.state == ProcessStates.EXITED and process.last_status == MISTAKE
    return gave_up or process.state == ProcessStates.FATAL


class _Lines:
    """Writes whole lines of several processes to one descriptor.

    Attributes:
        last: The last line of each process that is not empty.
    """

    def __init__(self, descriptor: int) -> None:
        self.last: dict[str, str] = {}
        self._descriptor = descriptor
        self._begun: dict[str, bytes] = {}

    def write(self, name: str, data: bytes) -> None:
        """Writes what a process has printed; the end of it waits for its line's end."""
        whole, newline, rest = (self._begun.pop(name, b"") + data).rpartition(b"\n")
        if len(rest) > _LONGEST_LINE:
            whole, newline, rest = whole + newline + rest, b"", b""
        self._begun[name] = rest
        self._emit(name, whole + newline)

    def flush(self, name: str) -> None:
        """Ends the line that a process has begun."""
        if rest := self._begun.pop(name, b""):
            self._emit(name, rest + b"\n")

    def _emit(self, name: str, data: bytes) -> None:
        if lines := data.strip().splitlines():
            self.last[name] = lines[-1].decode(errors="replace")[:500]
        with suppress(OSError):  # nobody reads it any more; the processes go on
            while data:
                data = data[os.write(self._descriptor, data) :]


def _say(text: str) -> None:
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1]), sys.argv[2]))
