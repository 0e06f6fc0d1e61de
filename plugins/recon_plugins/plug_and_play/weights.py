"""Weights of a denoiser, from whichever file holds them."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from recon.engine.checkpoint import load_model, load_tensors
from recon.errors import CheckpointError, UsageError

__all__ = ["load_weights"]


def load_weights(model: nn.Module | None, path: Path) -> nn.Module:
    """Return a network with weights, in evaluation mode; `model` itself stays as it is.

    Parameters
    ----------
    model
        The network; None for that of a run folder.
    path
        A run folder; a safetensors file; or a state dict of `torch.save`, alone or under the key ``state_dict``, read
        without running code from it. Its tensors go by their names. Where all are called otherwise, as in files of
        other projects, they go by their order, if kinds (weight, bias, ...) and shapes are the model's one by one.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, or of another network.
    UsageError
        If there is a model and a run folder, or neither.
    """
    if path.is_dir():
        if model is not None:
            raise UsageError(f"{path} is a run folder, which has its own network: leave out the model")
        return load_model(path)
    if model is None:
        raise UsageError(f"weights {path} need the model that they belong to, or give a run folder")
    model, state = copy.deepcopy(model), _state(path)
    wanted = model.state_dict()
    if state.keys().isdisjoint(wanted):
        state = _by_order(state, wanted, path)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit {type(model).__name__}: {' '.join(str(error).split())}") from None
    return model.eval()


def _state(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return load_tensors(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"weights file {path} does not exist") from None
    except Exception as error:
        raise CheckpointError(
            f"weights file {path} is not a state dict of torch.save: {type(error).__name__}"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"weights file {path} holds no state dict")
    return state


def _by_order(state: dict[str, Tensor], wanted: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    counters = {name: value for name, value in wanted.items() if name.endswith("num_batches_tracked")}
    names = [name for name in wanted if name not in counters]
    given = [(name, value) for name, value in state.items() if not name.endswith("num_batches_tracked")]
    if len(given) != len(names):
        raise CheckpointError(f"{path} has {len(given)} tensors of other names, the model has {len(names)}")
    for name, (other, value) in zip(names, given, strict=True):
        if name.rpartition(".")[2] != other.rpartition(".")[2] or value.shape != wanted[name].shape:
            raise CheckpointError(
                f"{path} does not fit the model: {other} {tuple(value.shape)} stands where the model has "
                f"{name} {tuple(wanted[name].shape)}"
            )
    return {name: value for name, (_, value) in zip(names, given, strict=True)} | counters
