"""Reconstruction with the network of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from recon.engine.checkpoint import load_model
from recon.interfaces import OperatorModel
from recon.methods import Output, finish, linear
from recon.operators import Operator

__all__ = ["NetworkMethod"]


class NetworkMethod:
    """The trained model of a run, applied to a measurement: f(y), or f(y, A) for models that work with the operator.

    The model is loaded at the first call and follows the measurement's device. It computes in its own precision
    (float32), in evaluation mode and without gradients.

    Shapes: y as the operator gives it -> x (batch, channel, *space).

    Parameters
    ----------
    run
        Run folder.
    weights
        ``best`` by validation, or ``last``.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` or its ``real`` part.

    Raises
    ------
    CheckpointError
        At the first call, if the folder holds no whole checkpoint.
    """

    def __init__(self, *, run: Path, weights: Literal["best", "last"] = "best", output: Output = "as_is") -> None:
        self.run = Path(run)
        self.weights = weights
        self.output: Output = output
        self._model: nn.Module | None = None

    def __call__(self, y: Tensor, operator: Operator) -> Tensor:
        """Reconstruct."""
        if self._model is None:
            self._model = load_model(self.run, which=self.weights)
        model = self._model.to(y.device)
        y = y.to(torch.complex64 if y.is_complex() else torch.float32)
        with torch.no_grad():
            x: Tensor = model(y, linear(operator)) if isinstance(model, OperatorModel) else model(y)
        return finish(x, self.output)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the weights out of pickles: the run folder has them."""
        return {**self.__dict__, "_model": None}

    def __repr__(self) -> str:
        """Show the arguments."""
        return f"NetworkMethod(run={str(self.run)!r}, weights={self.weights!r}, output={self.output!r})"
