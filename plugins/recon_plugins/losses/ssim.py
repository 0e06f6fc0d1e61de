"""Structural similarity as a loss."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Gt
from torch import Tensor

from recon import build
from recon.interfaces import Loss

__all__ = ["SSIMLoss"]


class SSIMLoss(Loss):
    """1 - SSIM, the mean over the batch, by the metric `ssim`; by default fastMRI's.

    Shapes: prediction and target (batch, channel, *space) -> scalar; complex images by their magnitude.

    Parameters
    ----------
    variant
        "uniform7": fastMRI's and scikit-image's window; "gauss11": Wang's.
    data_range
        A number; "target_max" or "target_range" (maximum minus minimum) of each item; or "volume_max", the maximum of
        the volume that it belongs to, as fastMRI trains with, for data whose items bring `maximum`.
    k1, k2
        The two constants.

    Raises
    ------
    UsageError
        If the shapes differ or an image is smaller than the window.

    References
    ----------
    Wang et al., IEEE Trans. Image Process. 2004, doi:10.1109/TIP.2003.819861
    """

    def __init__(
        self,
        *,
        variant: Literal["gauss11", "uniform7"] = "uniform7",
        data_range: Annotated[float, Gt(0)] | Literal["target_max", "target_range", "volume_max"] = "target_max",
        k1: Annotated[float, Gt(0)] = 0.01,
        k2: Annotated[float, Gt(0)] = 0.03,
    ) -> None:
        super().__init__()
        self.variant = variant
        self.data_range = data_range
        self.k1 = k1
        self.k2 = k2
        self.metric = build("metric", "ssim", variant=variant, data_range=data_range, k1=k1, k2=k2)

    def forward(self, prediction: Tensor, target: Tensor, maximum: Tensor | None = None) -> Tensor:
        """Return the loss."""
        return 1 - self.metric(prediction, target, maximum).mean()
