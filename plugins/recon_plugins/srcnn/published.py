"""Weights that others published, as models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from recon.errors import CheckpointError
from recon_plugins.srcnn.model import SRCNN

__all__ = ["from_published"]


def from_published(
    state: Mapping[str, Tensor], *, padding_mode: Literal["replicate", "zeros", "reflect"] = "replicate"
) -> SRCNN:
    """Make the model that a state dict with keys ``conv1.weight`` to ``conv3.bias`` belongs to.

    Parameters
    ----------
    state
        The state dict, loaded with ``torch.load(path, map_location="cpu", weights_only=True)``; a prefix such as
        ``module.`` does not matter. Kernel sizes, widths and colours are read off its tensors.
    padding_mode
        What the published network saw beyond the border; state dicts do not hold it.

    Raises
    ------
    CheckpointError
        If the state dict is not of such a network.
    """
    own = {".".join(key.split(".")[-2:]): value for key, value in state.items()}
    names = [f"conv{index}.weight" for index in (1, 2, 3)]
    if any(name not in own or own[name].ndim != 4 for name in names):
        raise CheckpointError(f"the state dict is not of an SRCNN: expected keys {', '.join(names)}, got {list(own)}")
    weights = [own[name] for name in names]
    model = SRCNN(
        channels=weights[0].shape[1],
        kernels=tuple(weight.shape[-1] for weight in weights),
        features=tuple(weight.shape[0] for weight in weights[:2]),
        padding_mode=padding_mode,
    )
    try:
        model.load_state_dict(own)
    except RuntimeError as error:
        raise CheckpointError(f"the state dict is not of an SRCNN: {' '.join(str(error).split())}") from error
    return model.eval()
