"""SigPy's linear operators of MRI and of sparsity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from recon.errors import UsageError
from recon.kspace import as_complex
from recon_plugins.sigpy.linop import LinopOperator, array
from recon_plugins.sigpy.sampling import PoissonDisc, Trajectory, mask_from, trajectory_from

__all__ = ["FFT", "NUFFT", "FiniteDifference", "Sense", "Wavelet"]

MaskLike = Tensor | Sequence[Any] | Mapping[str, Any] | PoissonDisc
TrajectoryLike = Tensor | Sequence[Any] | Mapping[str, Any] | Trajectory
Size = Sequence[Annotated[int, Gt(0)]]


class FFT(LinopOperator):
    """Centred orthonormal Fourier transform of each coil by SigPy, with an undersampling mask.

    Shapes: x (batch, channel, *size) -> y (batch, channel, *size), real or complex -> complex.

    Parameters
    ----------
    size
        Size of the image, (y, x) or (z, y, x).
    mask
        Where k-space is measured: 0 and 1, broadcast to `size`; or the settings of a `PoissonDisc`, such as
        ``{"kind": "poisson", "acceleration": 8, "calibration": [24, 24]}``. None for everywhere.
    """

    complex_input = complex_output = True

    def __init__(self, *, size: Size, mask: MaskLike | None = None) -> None:
        super().__init__()
        self.size = tuple(size)
        self.mask = mask_from(mask)
        self.input_shape = self.output_shape = (None, *self.size)

    @property
    def dimensions(self) -> int:
        """Number of spatial axes."""
        return len(self.size)

    def mask_for(self, size: Sequence[int], device: torch.device | str = "cpu") -> Tensor | None:
        """Return the boolean mask of k-space of the given size, or None if all is measured."""
        mask = self.mask.mask(size) if isinstance(self.mask, PoissonDisc) else self.mask
        return None if mask is None else mask.to(device)

    def linop(self, size: tuple[int, ...]) -> Any:
        """Return ``Multiply * FFT``."""
        import sigpy as sp

        transform = sp.linop.FFT(size, axes=range(-self.dimensions, 0))
        mask = self.mask_for(self.size)
        return transform if mask is None else sp.linop.Multiply(size, array(mask.float())) * transform

    def image_shape(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the coil images, which is that of k-space."""
        return size

    def with_maps(self, maps: Tensor) -> Sense:
        """Return the operator of one image seen by all coils. Shapes: maps (coil, *size) or (1, coil, *size)."""
        return Sense(maps=_one(maps, self.dimensions), mask=self.mask)


class NUFFT(LinopOperator):
    """Non-uniform Fourier transform of each coil by SigPy, by Kaiser-Bessel gridding.

    The default oversampling and width have an error of some thousandths; 2 and 6 of about 1e-5. The transform has the
    factor prod(size)^(-1/2), and its adjoint too.

    Shapes: x (batch, channel, *size) -> y (batch, channel, *samples), real or complex -> complex.

    Parameters
    ----------
    size
        Size of the image, (y, x) or (z, y, x).
    trajectory
        Frequencies (*samples, dimension) in cycles per field of view; or the settings of a `RadialTrajectory` or a
        `SpiralTrajectory`, such as ``{"kind": "radial", "spokes": 50, "samples": 320}``.
    oversamp
        Oversampling of the grid.
    width
        Width of the kernel in points of that grid.

    References
    ----------
    Beatty, Nishimura and Pauly, IEEE Trans. Med. Imaging 24:799, 2005, doi:10.1109/TMI.2005.848376
    """

    complex_input = complex_output = True

    def __init__(
        self,
        *,
        size: Size,
        trajectory: TrajectoryLike,
        oversamp: Annotated[float, Ge(1)] = 1.25,
        width: Annotated[float, Gt(0)] = 4.0,
    ) -> None:
        super().__init__()
        self.size = tuple(size)
        self.trajectory = trajectory_from(trajectory)
        self.oversamp, self.width = oversamp, width
        if isinstance(self.trajectory, Tensor):
            _check_points(self.trajectory, self.size)
            self.output_shape = (None, *self.trajectory.shape[:-1])
        self.input_shape = (None, *self.size)

    def cycles(self) -> Tensor:
        """Return the frequencies (*samples, dimension) in cycles per field of view."""
        return self.trajectory if isinstance(self.trajectory, Tensor) else self.trajectory.points(self.size)

    def linop(self, size: tuple[int, ...]) -> Any:
        """Return ``NUFFT``."""
        import sigpy as sp

        return sp.linop.NUFFT(size, array(self.cycles()), oversamp=self.oversamp, width=self.width)

    def image_shape(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the coil images."""
        return (size[0], *self.size)

    def with_maps(self, maps: Tensor) -> Sense:
        """Return the operator of one image seen by all coils. Shapes: maps (coil, *size) or (1, coil, *size)."""
        return Sense(maps=_one(maps, len(self.size)), trajectory=self.trajectory)


class Sense(LinopOperator):
    """SENSE model by SigPy: coil sensitivities, then the Fourier transform, Cartesian or along a trajectory.

    Shapes: x (batch, 1, *space) -> y (batch, coil, *k), k being *space or the samples; real or complex -> complex.

    Parameters
    ----------
    maps
        Sensitivities (coil, *space).
    mask
        As for `FFT`; Cartesian only.
    trajectory
        As for `NUFFT`, transformed with SigPy's default accuracy; None for Cartesian k-space.

    References
    ----------
    Pruessmann et al., Magn. Reson. Med. 42:952, 1999,
    doi:10.1002/(SICI)1522-2594(199911)42:5<952::AID-MRM16>3.0.CO;2-S
    """

    complex_input = complex_output = True

    def __init__(
        self,
        *,
        maps: Tensor | Sequence[Any],
        mask: MaskLike | None = None,
        trajectory: TrajectoryLike | None = None,
    ) -> None:
        super().__init__()
        self.maps = as_complex(torch.as_tensor(maps))
        if self.maps.ndim not in (3, 4):
            raise UsageError(f"maps of shape {tuple(self.maps.shape)} must be (coil, *space)")
        if mask is not None and trajectory is not None:
            raise UsageError("give a mask of Cartesian k-space or a trajectory, not both")
        self.mask = mask_from(mask)
        self.trajectory = None if trajectory is None else trajectory_from(trajectory)
        self.size = tuple(self.maps.shape[1:])
        self.input_shape = (1, *self.size)
        if self.trajectory is None:
            self.output_shape = tuple(self.maps.shape)
        elif isinstance(self.trajectory, Tensor):
            _check_points(self.trajectory, self.size)
            self.output_shape = (len(self.maps), *self.trajectory.shape[:-1])

    def linop(self, size: tuple[int, ...]) -> Any:  # noqa: ARG002 - the maps fix it
        """Return ``mri.linop.Sense`` of images with one channel."""
        import sigpy as sp
        import sigpy.mri

        mask = self.mask.mask(self.size) if isinstance(self.mask, PoissonDisc) else self.mask
        points = self.trajectory
        if points is not None and not isinstance(points, Tensor):
            points = points.points(self.size)
        sense = sp.mri.linop.Sense(
            array(self.maps),
            coord=None if points is None else array(points),
            weights=None if mask is None else array(mask.float()),
        )
        return sense * sp.linop.Reshape(self.size, (1, *self.size))

    def image_shape(self, size: tuple[int, ...]) -> tuple[int, ...]:  # noqa: ARG002
        """Return the shape of the image."""
        return (1, *self.size)


class Wavelet(LinopOperator):
    """Orthogonal wavelet transform by SigPy and PyWavelets, with zeros beyond the border.

    Shapes: x (batch, channel, *size) -> y (batch, channel, *coefficients), packed in one array; real or complex.

    Parameters
    ----------
    size
        Size of the image.
    wavelet
        Name of an orthogonal wavelet, as PyWavelets has them.
    level
        Number of levels; None for as many as the size allows.

    References
    ----------
    Daubechies, Commun. Pure Appl. Math. 41:909, 1988, doi:10.1002/cpa.3160410705
    """

    def __init__(self, *, size: Size, wavelet: str = "db4", level: Annotated[int, Gt(0)] | None = None) -> None:
        super().__init__()
        self.size = tuple(size)
        self.wavelet, self.level = wavelet, level
        self.input_shape = (None, *self.size)
        self.output_shape = (None, *(None for _ in self.size))

    def linop(self, size: tuple[int, ...]) -> Any:  # noqa: ARG002 - the constructor fixes it
        """Return ``Wavelet`` of one channel."""
        import sigpy as sp

        return sp.linop.Wavelet(self.size, wave_name=self.wavelet, level=self.level)

    def image_shape(self, size: tuple[int, ...]) -> tuple[int, ...]:  # noqa: ARG002 - the constructor fixes it
        """Return the shape of one channel."""
        return self.size

    def _apply_to_items(self, linop: Any, x: Tensor) -> Tensor:
        # SigPy fills every axis up to an even length, that of channels too: they go one by one.
        return super()._apply_to_items(linop, x.flatten(0, 1)).unflatten(0, x.shape[:2])


class FiniteDifference(LinopOperator):
    """Differences of neighbouring pixels along each spatial axis, periodic, by SigPy.

    Shapes: x (batch, channel, *space) -> y (batch, axis, channel, *space), real or complex.

    Parameters
    ----------
    dimensions
        Number of spatial axes, the last ones.
    """

    def __init__(self, *, dimensions: Annotated[int, Ge(1)] = 2) -> None:
        super().__init__()
        self.dimensions = dimensions
        self.input_shape = (None,) * (dimensions + 1)
        self.output_shape = (dimensions, *self.input_shape)

    def linop(self, size: tuple[int, ...]) -> Any:
        """Return ``FiniteDifference``."""
        import sigpy as sp

        return sp.linop.FiniteDifference(size, axes=tuple(range(-self.dimensions, 0)))

    def image_shape(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the image."""
        return size[1:]


def _check_points(points: Tensor, size: tuple[int, ...]) -> None:
    if points.ndim < 2 or points.shape[-1] != len(size):
        raise UsageError(
            f"a trajectory (*samples, {len(size)}) is needed for images of {size}, not {tuple(points.shape)}"
        )
    most = points.abs().reshape(-1, len(size)).amax(0)
    if bool((~(most <= torch.tensor(size) / 2 + 0.5)).any()):
        raise UsageError(
            f"the trajectory reaches {most.tolist()}, beyond half the size {size}: give it in cycles per field of view"
        )


def _one(maps: Tensor, dimensions: int) -> Tensor:
    """Return maps that all items share, without their batch axis."""
    if maps.ndim == dimensions + 1:
        return maps
    if maps.ndim == dimensions + 2 and len(maps) == 1:
        return maps[0]
    raise UsageError(f"SigPy's Sense takes one set of maps (coil, *space) for all items, not {tuple(maps.shape)}")
