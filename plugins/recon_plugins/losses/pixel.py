"""Losses pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.interfaces import Loss, describe

__all__ = ["L1", "MSE", "Residual", "difference", "squared"]


def difference(prediction: Tensor, target: Tensor) -> Tensor:
    """Subtract in at least single precision; shapes must be equal, so that nothing is broadcast by mistake."""
    if prediction.shape != target.shape:
        raise UsageError(
            f"the prediction ({describe(prediction)}) and what it is compared with ({describe(target)}) differ in shape"
        )
    result = prediction - target
    return result.float() if result.dtype in (torch.float16, torch.bfloat16) else result


def squared(x: Tensor) -> Tensor:
    """Return |x|^2, whose gradient exists at 0 also for complex x."""
    return x.real.square() + x.imag.square() if x.is_complex() else x.square()


class MSE(Loss):
    """Mean squared error: the mean over all elements of |x - t|^2, real or complex.

    Shapes: prediction and target (batch, channel, *space) -> scalar.

    Raises
    ------
    UsageError
        If the shapes differ.
    """

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return squared(difference(prediction, target)).mean()


class L1(Loss):
    """Mean absolute error: the mean over all elements of |x - t|, real or complex.

    Shapes: prediction and target (batch, channel, *space) -> scalar.

    Raises
    ------
    UsageError
        If the shapes differ.
    """

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return difference(prediction, target).abs().mean()


class Residual(Loss):
    """DnCNN's loss, 1/(2N) sum_i |R(y_i) - (y_i - x_i)|^2 for a batch of N items: a sum over pixels, not a mean.

    As the model gives f(y) = y - R(y), that is 1/(2N) sum_i |f(y_i) - x_i|^2, whatever the model computes inside. It is
    half the mean squared error times the number of pixels, so learning rates and clipping thresholds of one are not
    those of the other.

    Shapes: prediction and target (batch, channel, *space) -> scalar.

    Raises
    ------
    UsageError
        If the shapes differ.

    References
    ----------
    Zhang et al., IEEE Trans. Image Process. 2017, doi:10.1109/TIP.2017.2662206
    """

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return squared(difference(prediction, target)).flatten(1).sum(1).mean() / 2
