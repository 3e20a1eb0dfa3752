"""Downloads models from huggingface.co file by file into Hugging Face's cache."""

from __future__ import annotations

from pathlib import Path

from perception.frozen.weights.blocks import WeightsError
from perception.frozen.weights.checkpoint import Checkpoint
from perception.frozen.weights.hugging_face import HuggingFaceCheckpoint


def open_hub(repository: str) -> Checkpoint:
    """Opens a model by its `org/name`; only the weight files that hold requested tensors are downloaded."""
    return HuggingFaceCheckpoint(repository, lambda name: _locate(repository, name))


def _locate(repository: str, name: str) -> Path | None:
    """Returns the file's path in the cache; None if the model has no such file.

    Cached files are used without looking for updates, so that a run does not change when the model's repository does.
    """
    import huggingface_hub as hub
    from huggingface_hub import errors

    cached = hub.try_to_load_from_cache(repository, name)
    if cached is hub._CACHED_NO_EXIST:
        return None
    if isinstance(cached, str):
        return Path(cached)
    try:
        return Path(hub.hf_hub_download(repository, name))
    except errors.RepositoryNotFoundError as error:
        raise WeightsError(
            f"{repository}: there is no such folder here, and no such model on huggingface.co that you may read; "
            "for a gated model accept its licence and run `hf auth login`"
        ) from error
    except errors.EntryNotFoundError as error:
        if not isinstance(error, errors.LocalEntryNotFoundError):
            return None
        raise WeightsError(_UNREACHABLE.format(repository=repository, name=name)) from error
    except OSError as error:
        raise WeightsError(_UNREACHABLE.format(repository=repository, name=name)) from error


_UNREACHABLE = (
    "{repository}: there is no such folder here, and {name} is neither in Hugging Face's cache nor can it be fetched "
    "from huggingface.co; go online once, or give a local folder"
)
