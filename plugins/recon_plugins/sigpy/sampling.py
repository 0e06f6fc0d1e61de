"""SigPy's sampling patterns by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from recon.errors import ParameterError, UsageError
from recon.schema import validate

__all__ = ["PoissonDisc", "RadialTrajectory", "SpiralTrajectory", "mask_from", "trajectory_from"]


@dataclass(frozen=True, kw_only=True)
class PoissonDisc:
    """SigPy's variable-density Poisson-disc mask. A value.

    Parameters
    ----------
    kind
        ``poisson``.
    acceleration
        Points of k-space over those measured, met to 0.1.
    calibration
        Size (y, x) of the ellipse about the zero frequency that is measured as a whole.
    crop_corner
        Whether the corners of k-space are left out.
    seed
        Seed of the draw.

    References
    ----------
    Bridson, Fast Poisson disk sampling in arbitrary dimensions, SIGGRAPH sketches, 2007, doi:10.1145/1278780.1278807
    """

    kind: Literal["poisson"] = "poisson"
    acceleration: Annotated[float, Gt(1)] = 4.0
    calibration: tuple[Annotated[int, Ge(0)], Annotated[int, Ge(0)]] = (0, 0)
    crop_corner: bool = True
    seed: int = 0

    def mask(self, size: Sequence[int]) -> Tensor:
        """Return the boolean mask of k-space of the size (y, x).

        Raises
        ------
        UsageError
            If no pattern of this acceleration was found.
        """
        import sigpy.mri

        if len(size) != 2:
            raise UsageError(f"SigPy's Poisson-disc masks are of two dimensions, not of k-space {tuple(size)}")
        try:
            mask = sigpy.mri.poisson(
                tuple(size), self.acceleration, tuple(self.calibration), crop_corner=self.crop_corner, seed=self.seed
            )
        except ValueError as error:
            raise UsageError(f"{error} Change acceleration or calibration of {tuple(size)} points.") from None
        return torch.from_numpy(mask != 0)


@dataclass(frozen=True, kw_only=True)
class RadialTrajectory:
    """SigPy's radial trajectory: spokes from the centre outwards, in the plane or in space. A value.

    Parameters
    ----------
    kind
        ``radial``.
    spokes, samples
        Number of spokes and of samples of each.
    golden
        Whether spokes follow the golden angle, or divide the turn evenly (in the plane only).

    References
    ----------
    Winkelmann et al., IEEE Trans. Med. Imaging 26:68, 2007, doi:10.1109/TMI.2006.885337;
    Chan et al., Magn. Reson. Med. 61:354, 2009, doi:10.1002/mrm.21837
    """

    kind: Literal["radial"] = "radial"
    spokes: Annotated[int, Gt(0)] = 64
    samples: Annotated[int, Gt(0)] = 128
    golden: bool = True

    def points(self, size: Sequence[int]) -> Tensor:
        """Return the frequencies (spoke, sample, dimension) in cycles per field of view, for images of the size."""
        import sigpy.mri

        if len(size) == 3 and not self.golden:
            raise UsageError("SigPy's radial trajectory in space follows the golden means: set golden")
        coord = sigpy.mri.radial((self.spokes, self.samples, len(size)), tuple(size), golden=self.golden)
        return torch.from_numpy(coord)


@dataclass(frozen=True, kw_only=True)
class SpiralTrajectory:
    """SigPy's analytic variable-density spiral, in the plane. A value.

    Parameters
    ----------
    kind
        ``spiral``.
    field_of_view
        In mm.
    interleaves
        Number of interleaves.
    acceleration
        Undersampling between turns.
    readout_undersampling
        Undersampling along the spiral.
    density
        Exponent of the density: 1 for an even one, more for one that falls outwards.
    gradient
        Largest gradient in mT/m.
    slew_rate
        Largest slew rate in T/m/s.

    References
    ----------
    Kim, Adalsteinsson and Spielman, Magn. Reson. Med. 50:214, 2003, doi:10.1002/mrm.10493
    """

    kind: Literal["spiral"] = "spiral"
    field_of_view: Annotated[float, Gt(0)] = 240.0
    interleaves: Annotated[int, Gt(0)] = 16
    acceleration: Annotated[float, Gt(0)] = 1.0
    readout_undersampling: Annotated[float, Gt(0)] = 1.0
    density: Annotated[float, Ge(1)] = 1.0
    gradient: Annotated[float, Gt(0)] = 30.0
    slew_rate: Annotated[float, Gt(0)] = 150.0

    def points(self, size: Sequence[int]) -> Tensor:
        """Return the frequencies (sample, dimension) in cycles per field of view, for images of the size (n, n)."""
        import sigpy.mri

        if len(size) != 2 or size[0] != size[1]:
            raise UsageError(f"SigPy's spiral is of square images, not of {tuple(size)}")
        metres = self.field_of_view / 1000
        coord = sigpy.mri.spiral(
            metres,
            size[0],
            self.readout_undersampling,
            self.acceleration,
            self.interleaves,
            self.density,
            self.gradient / 1000,
            self.slew_rate,
        )
        return torch.from_numpy(coord * metres)


Trajectory = RadialTrajectory | SpiralTrajectory


def mask_from(given: Any, field: str = "mask") -> Tensor | PoissonDisc | None:
    """Return a mask as boolean tensor, or the rule that gives one."""
    if given is None or isinstance(given, PoissonDisc):
        return given
    if isinstance(given, Mapping):
        return _parse({"poisson": PoissonDisc}, given, field)
    return torch.as_tensor(given) != 0


def trajectory_from(given: Any, field: str = "trajectory") -> Tensor | Trajectory:
    """Return a trajectory as tensor, or the rule that gives one."""
    if isinstance(given, (RadialTrajectory, SpiralTrajectory)):
        return given
    if isinstance(given, Mapping):
        return _parse({"radial": RadialTrajectory, "spiral": SpiralTrajectory}, given, field)
    return torch.as_tensor(given, dtype=torch.float64)


def _parse(kinds: Mapping[str, Any], config: Mapping[str, Any], field: str) -> Any:
    kind = config.get("kind", next(iter(kinds)))
    if kind not in kinds:
        raise ParameterError("", [((field, "kind"), f"{kind!r} is not one of: {', '.join(kinds)}")])
    try:
        return kinds[kind](**validate(kinds[kind], config, ""))
    except ParameterError as error:
        raise ParameterError("", [((field, *path), message) for path, message in error.problems]) from None
