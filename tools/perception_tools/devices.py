"""The device that a model computes on, from its word on the command line."""

from __future__ import annotations

import torch

from perception.errors import InputError


def find_device(word: str) -> torch.device:
    """Returns a device that this machine has.

    Args:
        word: Name by which torch knows it: cpu, cuda, cuda:1.

    Raises:
        InputError: There is no such device here, or it computes nothing.
    """
    try:
        device = torch.device(word)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].partition(". ")[0][:300]
        raise InputError(
            f"--device {word}: expected a device that this machine has, found none ({reason}); give --device cpu"
        ) from error
    return device
