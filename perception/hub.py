"""Pretrained models of the transformers library, from folders in the hub's layout or by names on huggingface.co."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from perception.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def is_hub_name(place: str | Path) -> bool:
    """Returns whether a text names a model on huggingface.co, as `openai/clip-vit-base-patch32`, and no file here."""
    return isinstance(place, str) and _NAME.fullmatch(place) is not None and not Path(place).exists()


def load_pretrained(kind: Any, place: str | Path, what: str, **options: Any) -> Any:
    """What `kind.from_pretrained` loads from a folder, where nothing is downloaded, or from a model on huggingface.co.

    Models of the hub are downloaded once, into transformers' cache, and used from there without a connection.

    Args:
        kind: Class of the transformers library.
        place: Folder in the hub's layout, or the model's name.
        what: What is expected there, for messages.
        options: Of `from_pretrained`.

    Raises:
        InputError: There is no such model, it cannot be fetched, or it is none of this kind.
    """
    if not is_hub_name(place):
        options["local_files_only"] = True
    try:
        return kind.from_pretrained(place, **options)
    except (OSError, ValueError, RuntimeError, AttributeError, KeyError) as error:
        if isinstance(error, OSError) and is_hub_name(place):
            raise InputError(
                f"{place}: there is no such folder here, and {what} of that name is neither in Hugging Face's cache "
                f"nor can it be fetched from huggingface.co{_offline()}; go online once, or give a local folder"
            ) from error
        raise InputError(f"{place}: expected {what}, got: {error}") from error


def _offline() -> str:
    from huggingface_hub import constants

    return " (HF_HUB_OFFLINE is set)" if constants.HF_HUB_OFFLINE else ""


def expect_model(place: str | Path) -> None:
    """Raises InputError if a place is neither a folder with a `config.json` nor a name on huggingface.co."""
    if not is_hub_name(place) and not (Path(place) / "config.json").is_file():
        raise InputError(f"{place}: expected a model folder in the hub's layout, found no config.json in it")
