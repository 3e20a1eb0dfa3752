"""Saves models without their frozen blocks, and refuses to load them around other blocks.

A checkpoint holds `trainable_state_dict(model)` and `fingerprints(model)`. In a Lightning module, whose checkpoint
holds a full state dict, the hooks are

    def on_save_checkpoint(self, checkpoint):
        checkpoint["state_dict"] = trainable_state_dict(self)
        checkpoint["blocks"] = fingerprints(self)

    def on_load_checkpoint(self, checkpoint):
        check_fingerprints(self, checkpoint["blocks"])
        checkpoint["state_dict"] |= frozen_block_weights(self)
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.weights import WeightsError, provenance


def frozen_block_weights(model: nn.Module) -> dict[str, Tensor]:
    """Returns the entries of `model.state_dict()` that are weights of frozen blocks."""
    weights = {}
    for path, adapter in _adapters(model).items():
        for name, parameter in adapter.blocks.named_parameters():
            if not parameter.requires_grad:
                weights[f"{path}blocks.{name}"] = parameter.detach()
    return weights


def trainable_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Returns `model.state_dict()` without the weights of frozen blocks."""
    frozen = frozen_block_weights(model)
    return {name: value for name, value in model.state_dict().items() if name not in frozen}


def fingerprints(model: nn.Module) -> dict[str, dict[str, str | None]]:
    """Returns source, fingerprint and provenance of the blocks of every adapter, by its path in the model."""
    return {
        path: {"source": a.source, "fingerprint": a.fingerprint, "provenance": provenance(a.source)}
        for path, a in _adapters(model).items()
    }


def check_fingerprints(model: nn.Module, saved: Mapping[str, Mapping[str, str | None]]) -> None:
    """Checks that a model has the blocks with which a checkpoint was saved.

    Raises:
        WeightsError: The model has other adapters or other blocks.
    """
    present = fingerprints(model)
    if present.keys() != saved.keys():
        raise WeightsError(f"checkpoint: expected adapters at {sorted(present)} as in the model, got {sorted(saved)}")
    for path, block in present.items():
        if block["fingerprint"] != saved[path]["fingerprint"]:
            raise WeightsError(
                f"checkpoint: it was trained around the block {saved[path]['source']} "
                f"(fingerprint {saved[path]['fingerprint']}), but the model holds {block['source']} "
                f"(fingerprint {block['fingerprint']}); build the model with the former"
            )


def load_trainable_state_dict(
    model: nn.Module, state: Mapping[str, Tensor], saved: Mapping[str, Mapping[str, str | None]]
) -> None:
    """Loads the results of `trainable_state_dict` and `fingerprints`, both strictly.

    Raises:
        WeightsError: The model has other blocks, or weights of other names or shapes.
    """
    check_fingerprints(model, saved)
    try:
        model.load_state_dict({**state, **frozen_block_weights(model)}, strict=True)
    except RuntimeError as error:  # raised by PyTorch if names or shapes differ
        difference = " ".join(str(error).split("\n\t")[1:])
        raise WeightsError(
            f"checkpoint: expected the weights of this version's {type(model).__name__}, got others; train again, "
            f"or use the version that wrote it. {difference}"
        ) from error


def _adapters(model: nn.Module) -> dict[str, FrozenBlockAdapter]:
    """Returns every adapter of a model by its path, which ends with a dot."""
    return {f"{p}." if p else "": m for p, m in model.named_modules() if isinstance(m, FrozenBlockAdapter)}
