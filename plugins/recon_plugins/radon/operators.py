"""The Radon transform of parallel and of fan beams."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from annotated_types import Ge, Gt

from recon_plugins.radon.geometry import Detector, FanBeam, ParallelBeam, check_source, equispaced
from recon_plugins.radon.ray_transform import Backend, RayTransform

__all__ = ["FanBeamRadon", "Radon"]


class Radon(RayTransform):
    """Parallel-beam Radon transform: line integrals by Joseph's linear interpolation, in mm.

    y[a, i] is the integral of the image along the line x cos(theta_a) + y sin(theta_a) = t_i, with
    t_i = (i - (D - 1) / 2) bin_size + offset, x to the right and y up (row 0 on top), from the centre of the image. An
    image in 1/mm gives dimensionless line integrals. View 0 looks along the columns: its bins are the columns' sums
    from left to right; view pi/2 sums the rows, from the bottom up.

    Shapes: x (batch, channel, H, W) -> y (batch, channel, A, D), real or complex, in float32 or float64 (half precision
    is computed, and returned, in float32). The adjoint uses the very same weights.

    Parameters
    ----------
    size
        Image size (H, W).
    angles
        Number of views, equispaced over [0, pi); or the views' angles in radians.
    pixel
        Edge of a pixel in mm.
    bins
        Number D of detector bins; by default enough to see the whole image, if the detector is centred.
    bin_size
        Width of a bin in mm; by default that of a pixel.
    rays_per_bin
        Rays averaged over a bin's width; by default 1, or 2 bin_size / pixel (rounded up) if a bin is wider than 1.5
        pixels.
    offset
        Shift of the detector in mm.
    backend
        auto: compiled kernels for float32 on the CPU if numba is installed, else sparse matrices; numba: the same, and
        an error without numba; sparse: sparse matrices always.

    Raises
    ------
    UsageError
        If angles look like degrees, or numba is asked for and missing; at first use, if sparse matrices would take more
        than 2 GiB.

    References
    ----------
    Joseph, IEEE Trans. Med. Imaging 1:192, 1982, doi:10.1109/TMI.1982.4307572
    """

    def __init__(
        self,
        *,
        size: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]],
        angles: Annotated[int, Gt(0)] | Sequence[float],
        pixel: Annotated[float, Gt(0)] = 1.0,
        bins: Annotated[int, Gt(0)] | None = None,
        bin_size: Annotated[float, Gt(0)] | None = None,
        rays_per_bin: Annotated[int, Gt(0)] | None = None,
        offset: float = 0.0,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.size = _size(size)
        self.angles = _angles(angles)
        self.pixel = pixel
        self.bins = bins
        self.bin_size = bin_size
        self.rays_per_bin = rays_per_bin
        self.offset = offset
        self.backend = backend
        spacing = pixel if bin_size is None else bin_size
        if bins is None:
            bins = ParallelBeam.bins_for(_radius(self.size, pixel), spacing)
        self._set_geometry(ParallelBeam(_views(self.angles, math.pi), bins, spacing, offset))


class FanBeamRadon(RayTransform):
    """Fan-beam Radon transform: line integrals from a turning point source, by Joseph's linear interpolation, in mm.

    At view theta the source stands at source_distance (sin(theta), -cos(theta)) from the centre of the image, x to the
    right and y up (row 0 on top), and the detector opposite, detector_distance beyond the centre. Bin i of a flat
    detector lies t_i = (i - (D - 1) / 2) bin_size + offset along (cos(theta), sin(theta)) from the central ray; of a
    curved one, an arc about the source, at the arc length t_i. A distant source gives the parallel beam's rays.

    Shapes: x (batch, channel, H, W) -> y (batch, channel, A, D), real or complex, in float32 or float64 (half precision
    is computed, and returned, in float32). The adjoint uses the very same weights.

    Parameters
    ----------
    size
        Image size (H, W).
    angles
        Number of views, equispaced over [0, 2 pi); or the views' angles in radians.
    source_distance, detector_distance
        Distance of source and detector from the centre of rotation in mm; the source lies outside the image's circle.
    pixel
        Edge of a pixel in mm.
    bins
        Number D of detector bins; by default enough to see the whole image, if the detector is centred.
    bin_size
        Width of a bin on the detector in mm; by default that of a pixel, magnified.
    offset
        Shift of the detector along itself in mm.
    detector
        Flat, or curved about the source.
    rays_per_bin
        Rays averaged over a bin's width; by default 1, or twice the bin's width at the centre in pixels (rounded up) if
        that exceeds 1.5 pixels.
    backend
        auto: compiled kernels for float32 on the CPU if numba is installed, else sparse matrices; numba: the same, and
        an error without numba; sparse: sparse matrices always.

    Raises
    ------
    UsageError
        If angles look like degrees, the source lies within the image's circle, or numba is asked for and missing; at
        first use, if sparse matrices would take more than 2 GiB.

    References
    ----------
    Joseph, IEEE Trans. Med. Imaging 1:192, 1982, doi:10.1109/TMI.1982.4307572
    """

    def __init__(
        self,
        *,
        size: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]],
        angles: Annotated[int, Gt(0)] | Sequence[float],
        source_distance: Annotated[float, Gt(0)],
        detector_distance: Annotated[float, Ge(0)],
        pixel: Annotated[float, Gt(0)] = 1.0,
        bins: Annotated[int, Gt(0)] | None = None,
        bin_size: Annotated[float, Gt(0)] | None = None,
        offset: float = 0.0,
        detector: Detector = "flat",
        rays_per_bin: Annotated[int, Gt(0)] | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.size = _size(size)
        self.angles = _angles(angles)
        self.source_distance = source_distance
        self.detector_distance = detector_distance
        self.pixel = pixel
        self.bins = bins
        self.bin_size = bin_size
        self.offset = offset
        self.detector: Detector = detector
        self.rays_per_bin = rays_per_bin
        self.backend = backend
        width = pixel * (source_distance + detector_distance) / source_distance if bin_size is None else bin_size
        radius = _radius(self.size, pixel)
        check_source(radius, source_distance)
        if bins is None:
            bins = FanBeam.bins_for(radius, width, source_distance, detector_distance, detector)
        views = _views(self.angles, 2 * math.pi)
        self._set_geometry(FanBeam(views, bins, width, source_distance, detector_distance, offset, detector))


def _size(size: tuple[int, int]) -> tuple[int, int]:
    height, width = size
    return int(height), int(width)


def _angles(angles: int | Sequence[float]) -> int | tuple[float, ...]:
    return angles if isinstance(angles, int) else tuple(float(angle) for angle in angles)


def _views(angles: int | tuple[float, ...], span: float) -> tuple[float, ...]:
    return equispaced(angles, span) if isinstance(angles, int) else angles


def _radius(size: tuple[int, int], pixel: float) -> float:
    """Radius of the circle about the image in mm."""
    return math.hypot(*size) * pixel / 2
