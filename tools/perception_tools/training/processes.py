"""The processes of a training: those that train beside the first one, and those that read data. All end with it.

Nothing here needs Lightning, whose import takes seconds.
"""

from __future__ import annotations

import os
import threading
import time

from perception.processes import exit_with_parent

LAUNCHER = "PERCEPTION_LAUNCHER_PID"
"""Environment variable by which a process that Lightning starts knows who did."""
_POLL_S = 0.5


def exit_with_launcher() -> None:
    """Ends this process as soon as the one that started it for this training has ended, however that happened.

    Does nothing in the process that a user started. Further processes are started by Lightning in that one, or all of
    them by torchrun. They share its standard input, so `exit_with_parent` is not for them.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        launcher = os.getppid()
    elif int(os.environ.get("LOCAL_RANK", "0")) > 0 and LAUNCHER in os.environ:
        launcher = int(os.environ[LAUNCHER])
    else:
        os.environ[LAUNCHER] = str(os.getpid())
        return
    threading.Thread(target=_exit_after, args=(launcher,), daemon=True).start()


def _exit_after(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(_POLL_S)
    os._exit(1)


def exit_with_trainer(_worker: int) -> None:
    """Ends a reading process as soon as the training process has ended: a `DataLoader`'s `worker_init_fn`.

    PyTorch's own watch looks every five seconds, and not while a batch is on its way.
    """
    exit_with_parent()
