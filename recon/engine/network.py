"""The model as losses, validation and methods call it: network(y, operator), autocast inside, float32 outside."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recon.errors import UsageError
from recon.interfaces import OperatorModel
from recon.kspace import crop_centred
from recon.operators.base import LinearOperator

__all__ = ["AUTOCAST", "Network", "fitted"]

AUTOCAST: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def fitted(prediction: Tensor, target: Tensor | None) -> Tensor:
    """Return the middle of a prediction that is larger than its target; any other as it is."""
    if target is None or prediction.ndim != target.ndim:
        return prediction
    sizes = list(zip(prediction.shape[2:], target.shape[2:], strict=True))
    if prediction.shape[2:] == target.shape[2:] or any(have < wanted for have, wanted in sizes):
        return prediction  # what compares them says what is wrong
    return crop_centred(prediction, target.shape[2:])


class Network(OperatorModel):
    """Calls the model with or without the operator, whichever it is made for, in the wanted precision.

    An `OperatorModel` leaves autocast where it applies the operator, as the adapters do: FFTs and projections have no
    16-bit form.

    Parameters
    ----------
    model
        The model, or its wrapper for several processes.
    uses_operator
        Whether the model is an `OperatorModel`.
    dtype
        Precision of autocast; None for float32 throughout.
    device_type
        cpu, cuda or mps.
    """

    def __init__(self, model: nn.Module, *, uses_operator: bool, dtype: torch.dtype | None, device_type: str) -> None:
        super().__init__()
        self.model = model
        self.uses_operator = uses_operator
        self.dtype = dtype
        self.device_type = device_type
        inner = getattr(model, "module", model) if not isinstance(model, OperatorModel) else model
        self.crops_to_target = bool(getattr(inner, "crops_to_target", False))

    def fitted(self, prediction: Tensor, target: Tensor | None) -> Tensor:
        """Return the middle of an image that its target shows, where the model says that it may be larger."""
        return fitted(prediction, target) if self.crops_to_target else prediction

    def forward(self, y: Tensor, operator: LinearOperator | None = None) -> Tensor:
        """Reconstruct; the operator may be left out where the model does not use one."""
        if self.uses_operator and operator is None:
            raise UsageError("this model works with the forward operator; set forward")
        if self.dtype is None:
            result: Tensor = self.model(y, operator) if self.uses_operator else self.model(y)
            return result
        with torch.autocast(self.device_type, self.dtype):
            result = self.model(y, operator) if self.uses_operator else self.model(y)
        return result.float() if result.is_floating_point() else result
