"""A trained network as a reconstruction method."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from recon.engine.checkpoint import load_model
from recon.engine.network import Network
from recon.errors import UsageError, is_out_of_memory
from recon.interfaces import OperatorModel, describe
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
    UsageError
        When called, if the model needs an operator and is given none, or measurements that do not fit it.
    """

    def __init__(self, *, run: str | Path, which: str = "best", device: torch.device | str = "cpu") -> None:
        self.run = Path(run)
        self.which = which
        self.device = torch.device(device)
        model = load_model(run, which=which).to(self.device)
        uses_operator = isinstance(model, OperatorModel)
        self.crops_to_target = bool(getattr(model, "crops_to_target", False))
        self.network = Network(model, uses_operator=uses_operator, dtype=None, device_type=self.device.type).eval()

    @torch.no_grad()
    def __call__(self, y: Tensor, operator: Operator | None = None) -> Tensor:
        """Reconstruct. Shapes: y as `operator` gives it -> x (batch, channel, *space)."""
        noiseless = None if operator is None else cast("LinearOperator", operator.noiseless)
        if self.network.uses_operator and noiseless is None:
            raise UsageError(f"the model of {self.run} works with the forward operator: name it (--operator)")
        try:
            x: Tensor = self.network(y.to(self.device), noiseless)
        except (RuntimeError, ValueError) as error:  # torch's ways to say that a tensor does not fit a layer
            if is_out_of_memory(error):
                raise
            raise UsageError(
                f"the model of {self.run} does not take a {describe(y)}: {error}; give measurements of the kind that "
                "it was trained on"
            ) from error
        return x.to(y.device)
