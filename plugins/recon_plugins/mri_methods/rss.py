"""Root sum of squares of the zero-filled coil images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from recon.kspace import root_sum_of_squares
from recon.methods import linear
from recon.operators import Operator

__all__ = ["RootSumOfSquares"]


@dataclass(frozen=True, kw_only=True)
class RootSumOfSquares:
    """Root sum of squares of the zero-filled coil images: x = (sum_c |A^H y|_c^2)^(1/2), real.

    For operators of coil images (`fourier`; for `nufft` see `gridding`, which compensates the density first). Where an
    operator brings sensitivities, it is the magnitude of what they combine to.

    Shapes: y (batch, coil, *k) -> x (batch, 1, *space).

    References
    ----------
    Roemer et al., Magn. Reson. Med. 16:192, 1990, doi:10.1002/mrm.1910160203
    """

    def __call__(self, y: Tensor, operator: Operator) -> Tensor:
        """Reconstruct."""
        return root_sum_of_squares(linear(operator).adjoint(y))
