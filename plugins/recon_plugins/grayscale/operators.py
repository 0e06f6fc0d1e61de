"""Colour to luminance."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from recon.operators import LinearOperator, Table, check_shape

__all__ = ["Grayscale"]

WEIGHTS = {"bt601": (0.299, 0.587, 0.114), "bt709": (0.2126, 0.7152, 0.0722)}
"""Weights of red, green and blue in the luma of ITU-R BT.601-7 and BT.709-6."""


class Grayscale(LinearOperator):
    """Weighted sum of red, green and blue: y = w_R R + w_G G + w_B B, the forward model of colorization.

    The weights sum to 1, so grey stays as it is. They act on the values as given: for luminance proper, in linear
    light, hand in linear RGB.

    Shapes: (batch, 3, rows, columns) -> (batch, 1, rows, columns).

    Parameters
    ----------
    standard
        ``bt601`` (standard-definition video, JPEG, MATLAB's rgb2gray to four digits) or ``bt709`` (HD video, sRGB).
    """

    input_shape = (3, None, None)
    output_shape = (1, None, None)

    def __init__(self, *, standard: Literal["bt601", "bt709"] = "bt601") -> None:
        super().__init__()
        self.standard = standard
        self.weights = Table(torch.tensor(WEIGHTS[standard], dtype=torch.float64).reshape(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Sum the weighted channels."""
        check_shape(self, x, self.input_shape)
        weights: Tensor = self.weights(x)
        return (weights * x).sum(1, keepdim=True)

    def adjoint(self, y: Tensor) -> Tensor:
        """Hand each channel its share."""
        check_shape(self, y, self.output_shape)
        weights: Tensor = self.weights(y)
        return weights * y
