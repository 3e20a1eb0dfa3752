"""`perception up`: a whole deployment as processes of one supervisor."""

from __future__ import annotations

import hashlib
import os
import shlex
import socket
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from perception.errors import InputError
from perception.files import LOCK_FILE, alone_in, writing

if TYPE_CHECKING:
    from perception_nodes.operations.deployment import Deployment

ROUTER = "router"


def up(deployment: Positional[Path], check: bool = False) -> None:
    """Start a deployment's router, block service and nodes; restart what dies; stop all on SIGTERM within 5 s.

    A process that ends with exit status 2, a mistake in its settings, is not started again. When the router is given
    up, or all others are, everything ends, with status 2 after a mistake and 1 otherwise. A deployment runs once at a
    time.

    Args:
        deployment: The deployment's YAML file; nodes/README.md lists its keys.
        check: Check files, ports, topics and certificates, and print the commands that would run, without running them.
    """
    from perception_nodes.operations.deployment import read_deployment

    plan, folder = read_deployment(deployment), _folder_of(deployment)
    if check:
        runs = _runs(folder)
        _expect_sound(plan, deployment, runs=runs)
        for name, command in commands(plan, deployment).items():
            print(f"{name}: {shlex.join(command)}")
        if runs:
            print(f"{deployment}: it runs now, so its ports were not looked at", file=sys.stderr)
        return
    _supervise(plan, deployment, folder)


def _supervise(plan: Deployment, deployment: Path, folder: Path) -> None:
    """Becomes the supervisor of a deployment's processes, which holds its folder until it ends."""
    from perception_tools.supervision import CONFIGURATION, append_output, configuration_of, remove_run

    append_output()
    _make_private(folder.parent)
    with ExitStack() as open_:
        try:
            lock = open_.enter_context(alone_in(folder, f"perception up {deployment}"))
        except InputError as error:
            raise InputError(f"{deployment}: expected it to run only once; stop the other first ({error})") from error
        if not _holds(lock, folder):
            raise InputError(f"{deployment}: it has ended just now; start it again")
        file = folder / CONFIGURATION
        open_.callback(remove_run, file)  # unless the supervisor takes over, which removes it at its own end
        _expect_sound(plan, deployment, runs=False)
        file.write_text(configuration_of(commands(plan, deployment), folder))
        print(f"perception up: look in with supervisorctl -c {file} status", file=sys.stderr, flush=True)
        os.set_inheritable(lock, True)
        os.execv(sys.executable, [sys.executable, "-m", "perception_tools.supervision", str(file), ROUTER])


def _expect_sound(plan: Deployment, file: Path, *, runs: bool) -> None:
    """Raises one InputError with everything that would keep the deployment from working."""
    from perception_nodes.operations.deployment_checks import findings
    from perception_tools.deployment_files import file_findings

    found = [*findings(plan, runs=runs), *file_findings(plan)]
    if found:
        raise InputError("\n".join(f"{file}: {finding}" for finding in found))


def _folder_of(deployment: Path) -> Path:
    """Returns the folder of a running deployment's lock, socket and configuration.

    It is on this host, has a short path, as sockets need, and is the same at every start.
    """
    place = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"perception-up-{os.getuid()}"
    return place / hashlib.sha256(os.fsencode(deployment.resolve())).hexdigest()[:16]


def _make_private(folder: Path) -> None:
    """Makes a folder that only its owner may use; refuses one that somebody else has made."""
    with writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise InputError(f"{folder}: expected a folder of your own that nobody else may use; remove it")


def _holds(lock: int, folder: Path) -> bool:
    """Whether a lock is still that of its folder; the process that held it before removes both when it ends."""
    try:
        return os.path.samestat(os.fstat(lock), (folder / LOCK_FILE).stat())
    except OSError:
        return False


def _runs(folder: Path) -> bool:
    """Whether a supervisor answers in a deployment's folder."""
    from perception_tools.supervision import SOCKET

    with socket.socket(socket.AF_UNIX) as asking, suppress(OSError):
        asking.connect(str(folder / SOCKET))
        return True
    return False


def commands(plan: Deployment, file: Path) -> dict[str, list[str]]:
    """Returns the command of every process by its name, in the order of their start."""
    perception = [sys.executable, "-m", "perception_tools.main"]
    config = ["--config", str(file.resolve())]
    made = {ROUTER: [*perception, "serve", "router", *config]}
    if plan.service is not None:
        serve = [*perception, "serve", "block", str(plan.service.folder.resolve()), "--zenoh", "--json-logs"]
        serve += ["--connect", plan.router.place, "--threads", str(plan.service.threads)]
        serve += ["--backend", plan.service.backend, "--precision", plan.service.precision]
        serve += ["--provider", plan.service.provider] if plan.service.provider is not None else []
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
