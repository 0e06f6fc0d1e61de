"""The loss that fastMRI's U-Net is trained with."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from recon.errors import UsageError
from recon.interfaces import Loss
from recon.kspace import crop_centred, root_sum_of_squares
from recon.operators import LinearOperator
from recon_plugins.losses.pixel import difference

__all__ = ["FastMRIL1"]


class FastMRIL1(Loss):
    """Mean absolute error in the units that fastMRI's U-Net sees: |(x - m) / s - clamp((t - m) / (s + eps))|.

    m and s are the mean and the deviation (n - 1 in the denominator) of each item's zero-filled image: the root sum of
    squares over the coils of A^H y, of which the middle of the target's size counts. A slice then weighs as much as any
    other, however dark. For models that give images in their own units, such as
    ``{use: from_adjoint, part: rss, model: {use: normalised, clamp: 6, model: unet}}``.

    Shapes: prediction and target (batch, 1, *space), measurement (batch, coil, *k) -> scalar.

    Parameters
    ----------
    clamp
        Largest absolute value of the target in these units.
    eps
        Number added to the deviation.

    Raises
    ------
    UsageError
        If the shapes of prediction and target differ, or the target is larger than A^H y.

    References
    ----------
    Zbontar et al., 2018, arXiv:1811.08839, and version 0.3.0 of its code
    """

    def __init__(self, *, clamp: Annotated[float, Gt(0)] = 6.0, eps: Annotated[float, Gt(0)] = 1e-11) -> None:
        super().__init__()
        self.clamp = clamp
        self.eps = eps

    def forward(  # type: ignore[override]
        self, prediction: Tensor, target: Tensor, measurement: Tensor, operator: LinearOperator
    ) -> Tensor:
        """Return the loss."""
        with torch.no_grad(), torch.autocast(prediction.device.type, enabled=False):
            seen = root_sum_of_squares(crop_centred(operator.adjoint(measurement), target.shape[2:]))
            axes = tuple(range(1, seen.ndim))
            deviation, mean = torch.std_mean(seen, axes, keepdim=True)
            wanted = ((target - mean) / (deviation + self.eps)).clamp(-self.clamp, self.clamp)
            if not (target.ndim == prediction.ndim and target.shape[1] == 1):
                raise UsageError(f"fastmri_l1 compares images (batch, 1, *space), not {tuple(target.shape)}")
        found = (prediction - mean) / (deviation + self.eps)
        return difference(found, wanted).abs().mean()
