"""Imports what is named by `module:name` when it is needed, so that help is instant and an encoder may be anybody's."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from perception.errors import InputError


def resolve(reference: str) -> Any:
    """What a reference of ours names; a mistake in it is a bug, not bad input."""
    module, name = reference.split(":")
    return getattr(import_module(module), name)


def resolve_given(reference: str, what: str) -> Any:
    """What a user's reference names; modules in the working directory are found too.

    Args:
        reference: `module:name`.
        what: What it is for, in messages, such as `--encoder`.

    Raises:
        InputError: It is not of that form, or there is no such module or name.
    """
    module, separator, name = reference.partition(":")
    if not separator or not all(part.isidentifier() for part in [*module.split("."), name]):
        raise InputError(f"{what} {reference}: expected MODULE:NAME, such as my_package.encoders:MyEncoder")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    try:
        imported = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module exists and lacks something itself
        raise InputError(
            f"{what} {reference}: there is no module {error.name!r}; put its folder on PYTHONPATH, or run in it"
        ) from error
    if not hasattr(imported, name):
        raise InputError(f"{what} {reference}: the module {module} has no {name!r}; correct the name")
    return getattr(imported, name)
