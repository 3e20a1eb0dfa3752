"""`perception up`: a whole deployment as processes, under supervisord (http://supervisord.org).

Supervisor is pure Python and does what is needed here: it restarts a process that dies, waits a second longer after
every failed start, and on SIGTERM stops all processes, by force those that do not stop. (honcho stops all when one
dies; circus restarts without back-off.)
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

if TYPE_CHECKING:
    from perception_nodes.operations.deployment import Deployment

STABLE_S = 5
"""A process that dies sooner has failed to start, and is started again 1, 2, 3, … s later."""
RETRIES = 60
"""Number of failed starts after which a process is given up; they take half an hour."""
STOP_S = 3
"""Seconds from SIGTERM to SIGKILL; all processes stop at the same time."""


def up(deployment: Positional[Path], check: bool = False) -> None:
    """Start a deployment's router, block service and nodes; restart what dies; stop all on SIGTERM within 5 s.

    Args:
        deployment: The deployment's YAML file; nodes/README.md lists its keys.
        check: Check the file and print the commands that would run, without running them.
    """
    from perception_nodes.operations.deployment import read_deployment

    plan = read_deployment(deployment)
    for name in plan.own_names:
        plan.identity_of(name)  # better now than in a process of its own
    if check:
        for name, command in commands(plan, deployment).items():
            print(f"{name}: {shlex.join(command)}")
        return
    folder = Path(tempfile.mkdtemp(prefix="perception-up-"))
    file = folder / "supervisord.conf"
    file.write_text(supervisor_configuration(plan, deployment, folder))
    print(f"perception up: look in with supervisorctl -c {file} status", file=sys.stderr, flush=True)
    os.execv(sys.executable, [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "-c", str(file)])


def commands(plan: Deployment, file: Path) -> dict[str, list[str]]:
    """Returns the command of every process by its name, in the order of their start."""
    perception = [sys.executable, "-m", "perception_tools.main"]
    config = ["--config", str(file.resolve())]
    made = {"router": [*perception, "serve", "router", *config]}
    if plan.service is not None:
        serve = [*perception, "serve", "block", str(plan.service.folder.resolve()), "--zenoh", "--json-logs"]
        serve += ["--connect", plan.router.place, "--threads", str(plan.service.threads)]
        serve += ["--max-request-mb", str(plan.service.max_request_mb)]
        serve += ["--max-request-gflop", str(plan.service.max_request_gflop)]
        serve += ["--name", *plan.service.pipelines] if plan.service.pipelines else []
        made |= {name: serve + _tls_options(plan, name) for name in plan.service.names}
    for name, node in plan.nodes.items():
        made[f"node_{name}"] = [*perception, "node", node.kind, *config, "--name", name]
    if plan.foxglove is not None:
        made["foxglove"] = [*perception, "node", "foxglove", *config]
    return made


def _tls_options(plan: Deployment, name: str) -> list[str]:
    """Options by which a process shows its certificate; none where there is no security."""
    identity = plan.identity_of(name)
    if identity is None:
        return []
    options = {"--ca": identity.ca, "--certificate": identity.certificate, "--key": identity.key}
    return [word for option, path in options.items() for word in (option, str(path.resolve()))]


def supervisor_configuration(plan: Deployment, file: Path, folder: Path) -> str:
    """Returns supervisord's configuration.

    Args:
        plan: What runs.
        file: The deployment's file.
        folder: Folder of supervisord's own socket and pid file; only its owner may use the socket.
    """
    programs = commands(plan, file)
    sections = [
        f"[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={folder}/supervisord.pid",
        f"[unix_http_server]\nfile={folder}/supervisor.sock\nchmod=0700",
        f"[supervisorctl]\nserverurl=unix://{folder}/supervisor.sock",
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
        f"[group:perception]\nprograms={','.join(programs)}",  # a group is stopped at once, not one by one
    ]
    for number, (name, command) in enumerate(programs.items()):
        quoted = shlex.join(command).replace("%", "%%")
        sections.append(
            f"[program:{name}]\ncommand={quoted}\npriority={number}\nautorestart=true\n"
            f"startsecs={STABLE_S}\nstartretries={RETRIES}\nstopwaitsecs={STOP_S}\nkillasgroup=true\nstopasgroup=true\n"
            "stdout_logfile=/dev/fd/1\nstdout_logfile_maxbytes=0\nstderr_logfile=/dev/fd/2\nstderr_logfile_maxbytes=0"
        )
    return "\n\n".join(sections).replace(f"{folder}", str(folder).replace("%", "%%")) + "\n"
