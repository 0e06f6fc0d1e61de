"""Weights that others published, as models."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recon.errors import CheckpointError
from recon_plugins.vdsr.model import VDSR

__all__ = ["from_published"]


def from_published(weights: Sequence[Tensor], biases: Sequence[Tensor] | None = None) -> VDSR:
    """Make the model of published weights, given layer by layer; depth and width are read off them.

    Parameters
    ----------
    weights
        Kernels in torch's order (out, in, row, column). The authors' MATLAB file has them as (row, column, in, out),
        without axes of size 1 at the end: restore those, then ``permute(3, 2, 0, 1)``.
    biases
        One vector a layer; None for a network without.

    Raises
    ------
    CheckpointError
        If the tensors are not of such a network.
    """
    features, channels = weights[0].shape[:2]
    model = VDSR(channels=channels, layers=len(weights), features=features, bias=biases is not None)
    state = {f"body.{index}.conv.weight": weight for index, weight in enumerate(weights)}
    if biases is not None:
        state |= {f"body.{index}.conv.bias": bias.reshape(-1) for index, bias in enumerate(biases)}
    try:
        model.load_state_dict({key: torch.as_tensor(value) for key, value in state.items()})
    except RuntimeError as error:
        raise CheckpointError(f"the weights are not of a VDSR: {' '.join(str(error).split())}") from error
    return model.eval()
