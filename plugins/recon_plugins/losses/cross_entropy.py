"""Cross entropy by pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Lt
from torch import Tensor

from recon.errors import UsageError
from recon.interfaces import Loss, describe

__all__ = ["CrossEntropy"]


class CrossEntropy(Loss):
    """Cross entropy of logits against labels, the mean over the labelled pixels; 0 if there are none.

    Shapes: prediction (batch, class, *space), logits; target (batch, *space) or (batch, 1, *space), integer labels
    -> scalar.

    Parameters
    ----------
    ignore_index
        Label of pixels that do not count; VOC's 255.
    weight
        Weight of each class; None for equal ones.
    label_smoothing
        Share of the target that is spread over all classes.

    Raises
    ------
    UsageError
        If the shapes do not fit or the labels are not integers.
    """

    def __init__(
        self,
        *,
        ignore_index: int = 255,
        weight: Sequence[float] | None = None,
        label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self.weight: Tensor | None
        self.register_buffer("weight", None if weight is None else torch.as_tensor(weight), persistent=False)
        self.label_smoothing = label_smoothing

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        labels = target.squeeze(1) if target.ndim == prediction.ndim and target.shape[1] == 1 else target
        fits = labels.shape == (prediction.shape[0], *prediction.shape[2:])
        if not fits or labels.is_floating_point() or labels.is_complex():
            raise UsageError(
                "cross_entropy needs logits (batch, class, *space) and integer labels (batch, 1, *space), got a "
                f"{describe(prediction)} and a {describe(target)}"
            )
        logits = prediction.float() if prediction.dtype in (torch.float16, torch.bfloat16) else prediction
        labels = labels.long()
        weight = None if self.weight is None else self.weight.to(logits.dtype)
        total = F.cross_entropy(
            logits,
            labels,
            weight=weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction="sum",
        )
        counted = labels != self.ignore_index
        if weight is None:
            norm = counted.sum().to(logits.dtype)
        else:
            norm = weight[labels.where(counted, 0)].where(counted, 0).sum()
        # A crop without a single label has loss 0 and gradient 0, where torch's own mean gives NaN.
        return total / norm.where(norm > 0, 1)
