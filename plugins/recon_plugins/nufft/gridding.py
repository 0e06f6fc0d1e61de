"""Density-compensated adjoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from recon.errors import UsageError
from recon.kspace import as_complex, root_sum_of_squares
from recon.methods import Output, finish, linear
from recon.operators import Operator
from recon_plugins.nufft.density import Density, density_of
from recon_plugins.nufft.off_resonance import OffResonance
from recon_plugins.nufft.operators import NUFFT

__all__ = ["Combine", "Gridding", "combined", "non_cartesian", "weights_for"]

Combine = Literal["rss", "none"]


@dataclass(frozen=True, kw_only=True)
class Gridding:
    """The density-compensated adjoint x = A^H W y, which the field calls gridding reconstruction.

    W makes up for how densely each part of k-space is sampled; its weights are areas of k-space, so the image has the
    right scale where the trajectory covers the image's frequencies. With coil sensitivities in the operator coils are
    combined by them, otherwise as `combine` says. Differentiable in y.

    Shapes: y (batch, coil, *samples) -> x (batch, 1, *size); (batch, coil, *size) with ``combine: none``.

    Parameters
    ----------
    density
        ``pipe``: fixed point of Pipe and Menon; ``voronoi``: areas of Voronoi cells (needs SciPy); ``none``: 1.
    combine
        How coil images without sensitivities are combined: by the root of their sum of squares, or not at all.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` or its ``real`` part.

    References
    ----------
    Pipe and Menon, Magn. Reson. Med. 41:179, 1999, doi:10.1002/(SICI)1522-2594(199901)41:1<179::AID-MRM25>3.0.CO;2-V;
    Rasche et al., IEEE Trans. Med. Imaging 18:385, 1999, doi:10.1109/42.774166
    """

    density: Density = "pipe"
    combine: Combine = "rss"
    output: Output = "as_is"

    def __call__(self, y: Tensor, operator: Operator) -> Tensor:
        """Reconstruct; `operator` is a `nufft`, perhaps off resonance, and noise in front of it is passed over."""
        found = non_cartesian(operator, "gridding")
        weights = weights_for(found, self.density, y)
        x = found.adjoint(y if weights is None else y * weights)
        return finish(combined(x, found, self.combine), self.output)


def non_cartesian(operator: Operator, method: str) -> NUFFT | OffResonance:
    """Return the operator without its noise.

    Raises
    ------
    UsageError
        If it is not a non-Cartesian one; the text names what serves others.
    """
    found = linear(operator)
    if not isinstance(found, (NUFFT, OffResonance)):
        raise UsageError(f"{method} is for non-Cartesian data, not for {type(found).__name__}: take adjoint or pinv")
    return found


def weights_for(operator: NUFFT | OffResonance, density: Density, y: Tensor) -> Tensor | None:
    """Return the weights of the samples in the precision of y, in a shape that broadcasts to it."""
    nufft = operator.nufft if isinstance(operator, OffResonance) else operator
    weights = density_of(nufft, density)
    if weights is None:
        return None
    weights = weights.to(y.device, as_complex(y[:0]).dtype.to_real())
    return weights[:, None] if nufft.frames else weights


def combined(x: Tensor, operator: NUFFT | OffResonance, combine: Combine) -> Tensor:
    """Combine coil images where the operator has no sensitivities that did so."""
    nufft = operator.nufft if isinstance(operator, OffResonance) else operator
    return x if nufft.maps is not None or combine == "none" else root_sum_of_squares(x)
