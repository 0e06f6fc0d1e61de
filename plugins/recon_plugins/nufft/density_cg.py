"""Density-weighted least squares by conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor

from recon.methods import Output, finish
from recon.operators import Operator
from recon.solvers import conjugate_gradient
from recon_plugins.nufft.density import Density
from recon_plugins.nufft.gridding import Combine, combined, non_cartesian, weights_for

__all__ = ["DensityCG"]


@dataclass(frozen=True, kw_only=True)
class DensityCG:
    """Weighted least squares x = argmin (A x - y)^H W (A x - y) + damping |x|^2 by conjugate gradients, from 0.

    With the density compensation W as weights, A^H W A is near the identity where the data suffice, and a handful of
    steps do; few steps are a regularisation of their own. With coil sensitivities in the operator this is the iterative
    SENSE reconstruction of Pruessmann; without, coils are reconstructed one by one and combined as `combine` says.

    Shapes: y (batch, coil, *samples) -> x (batch, 1, *size); (batch, coil, *size) with ``combine: none``.

    Parameters
    ----------
    density, combine, output
        As for `Gridding`. With density ``none`` the data count alike: the likeliest image under white noise, in more
        steps.
    iterations, tolerance
        Stop after so many steps, or when the residual of the normal equations has fallen by this factor (0: never
        look).
    damping
        Weight of |x|^2, against |A^H W A| near 1.

    References
    ----------
    Pruessmann et al., Magn. Reson. Med. 46:638, 2001, doi:10.1002/mrm.1241
    """

    density: Density = "pipe"
    iterations: Annotated[int, Gt(0)] = 10
    damping: Annotated[float, Ge(0)] = 0.0
    tolerance: Annotated[float, Ge(0)] = 1e-6
    combine: Combine = "rss"
    output: Output = "as_is"

    def __call__(self, y: Tensor, operator: Operator) -> Tensor:
        """Reconstruct; `operator` is a `nufft`, perhaps off resonance, and noise in front of it is passed over."""
        found = non_cartesian(operator, "density_cg")
        weights = weights_for(found, self.density, y)
        if weights is None:
            normal: Callable[[Tensor], Tensor] = found.normal
            b = found.adjoint(y)
        else:
            normal = found.weighted_normal(weights)
            b = found.adjoint(y * weights)

        def damped(x: Tensor) -> Tensor:
            return normal(x) + self.damping * x if self.damping else normal(x)

        x = conjugate_gradient(damped, b, iterations=self.iterations, tolerance=self.tolerance)
        return finish(combined(x, found, self.combine), self.output)
