"""`perception up`: a whole deployment as processes, under supervisord (http://supervisord.org).

Supervisor is in the package index, pure Python, and does what is wanted here: it restarts what dies, waits a second
longer after every start that fails so that nothing loops hot, and on SIGTERM stops all, by force what does not go.
(honcho stops all when one dies; circus restarts without back-off.)
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
"""Failed starts until a process is given up: half an hour of them."""
STOP_S = 3
"""From SIGTERM to SIGKILL; all processes stop at the same time."""


def up(deployment: Positional[Path], check: bool = False) -> None:
    """Start a deployment's router, block service and nodes; restart what dies; stop all on SIGTERM within 5 s.

    Args:
        deployment: YAML file; `perception_nodes.operations.deployment` says what is in it.
        check: Only say whether the file is sound, and the commands that would run.
    """
    from perception_nodes.operations.deployment import read_deployment

    plan = read_deployment(deployment)
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
    """The command of every process by its name, in the order of their start."""
    perception = [sys.executable, "-m", "perception_tools.main"]
    made = {"router": [*perception, "serve", "router", "--listen", plan.router.listen]}
    if plan.service is not None:
        serve = [*perception, "serve", "block", str(plan.service.folder.resolve()), "--zenoh", "--json-logs"]
        serve += ["--connect", plan.router.listen, "--threads", str(plan.service.threads)]
        serve += ["--name", *plan.service.pipelines] if plan.service.pipelines else []
        made |= {f"block{number}": serve for number in range(plan.service.workers)}
    for name in plan.nodes:
        made[f"node_{name}"] = [*perception, "node", "forecast", "--config", str(file.resolve()), "--name", name]
    return made


def supervisor_configuration(plan: Deployment, file: Path, folder: Path) -> str:
    """What supervisord reads; its socket, for its owner only, is in the folder."""
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
