"""A trained network as a reconstruction method."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from recon.engine.checkpoint import load_model
from recon.engine.network import Network
from recon.interfaces import OperatorModel
from recon.operators.base import LinearOperator, Operator

__all__ = ["TrainedMethod"]


class TrainedMethod:
    """The network of a run folder, called like any method: ``method(y, operator) -> x``.

    Parameters
    ----------
    run
        Run folder.
    which
        ``best`` or ``last`` weights.
    device
        Where to compute; measurement and result stay where they are.

    Raises
    ------
    CheckpointError
        If the folder holds no whole checkpoint.
    """

    def __init__(self, *, run: str | Path, which: str = "best", device: torch.device | str = "cpu") -> None:
        self.run = Path(run)
        self.which = which
        self.device = torch.device(device)
        model = load_model(run, which=which).to(self.device)
        uses_operator = isinstance(model, OperatorModel)
        self.network = Network(model, uses_operator=uses_operator, dtype=None, device_type=self.device.type).eval()

    @torch.no_grad()
    def __call__(self, y: Tensor, operator: Operator | None = None) -> Tensor:
        """Reconstruct. Shapes: y as `operator` gives it -> x (batch, channel, *space)."""
        noiseless = None if operator is None else cast("LinearOperator", operator.noiseless)
        x: Tensor = self.network(y.to(self.device), noiseless)
        return x.to(y.device)
