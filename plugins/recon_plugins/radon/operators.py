"""The Radon transform of parallel and of fan beams."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Self

from annotated_types import Ge, Gt

from recon_plugins.radon.backends import Backend
from recon_plugins.radon.geometry import Detector, FanBeam, Geometry, ParallelBeam, check_source, equispaced
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.ray_transform import Pixel, RayTransform

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
        Edge of a pixel in mm, or its edges (height, width).
    bins
        Number D of detector bins; by default enough to see the whole image, if the detector is centred.
    bin_size
        Width of a bin in mm; by default that of a pixel.
    rays_per_bin
        Rays averaged over a bin's width; by default 1, or 2 bin_size / pixel (rounded up) if a bin is wider than 1.5
        pixels.
    offset
        Shift of the detector in mm.
    centre
        The image's centre (x, y) in mm from the centre of rotation.
    backend
        auto: compiled kernels where there are some (numba on the CPU, Triton on CUDA), else sparse matrices; a
        backend's name: that one, and an error where it cannot serve.

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
        pixel: Pixel = 1.0,
        bins: Annotated[int, Gt(0)] | None = None,
        bin_size: Annotated[float, Gt(0)] | None = None,
        rays_per_bin: Annotated[int, Gt(0)] | None = None,
        offset: float = 0.0,
        centre: tuple[float, float] = (0.0, 0.0),
        backend: Backend = "auto",
    ) -> None:
        grid = Grid(size, pixel, centre)
        spacing = min(grid.pixel) if bin_size is None else bin_size
        count = ParallelBeam.bins_for(grid.radius, spacing) if bins is None else bins
        geometry = ParallelBeam(_views(angles, math.pi), count, spacing, offset)
        super().__init__(
            geometry=geometry, size=size, pixel=pixel, centre=centre, rays_per_bin=rays_per_bin, backend=backend
        )
        self.angles = angles if isinstance(angles, int) else geometry.angles
        self.bins = bins
        self.bin_size = bin_size
        self.offset = offset

    def _of(self, geometry: Geometry) -> Self:
        return self.with_(angles=geometry.angles, bins=geometry.bins)


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
        Edge of a pixel in mm, or its edges (height, width).
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
    centre
        The image's centre (x, y) in mm from the centre of rotation.
    backend
        auto: compiled kernels where there are some (numba on the CPU, Triton on CUDA), else sparse matrices; a
        backend's name: that one, and an error where it cannot serve.

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
        pixel: Pixel = 1.0,
        bins: Annotated[int, Gt(0)] | None = None,
        bin_size: Annotated[float, Gt(0)] | None = None,
        offset: float = 0.0,
        detector: Detector = "flat",
        rays_per_bin: Annotated[int, Gt(0)] | None = None,
        centre: tuple[float, float] = (0.0, 0.0),
        backend: Backend = "auto",
    ) -> None:
        grid = Grid(size, pixel, centre)
        check_source(grid.radius, source_distance)
        magnification = (source_distance + detector_distance) / source_distance
        width = min(grid.pixel) * magnification if bin_size is None else bin_size
        count = bins
        if count is None:
            count = FanBeam.bins_for(grid.radius, width, source_distance, detector_distance, detector)
        views = _views(angles, 2 * math.pi)
        geometry = FanBeam(views, count, width, source_distance, detector_distance, offset, detector)
        super().__init__(
            geometry=geometry, size=size, pixel=pixel, centre=centre, rays_per_bin=rays_per_bin, backend=backend
        )
        self.angles = angles if isinstance(angles, int) else geometry.angles
        self.source_distance = source_distance
        self.detector_distance = detector_distance
        self.bins = bins
        self.bin_size = bin_size
        self.offset = offset
        self.detector: Detector = detector

    def _of(self, geometry: Geometry) -> Self:
        return self.with_(angles=geometry.angles, bins=geometry.bins)


def _views(angles: int | Sequence[float], span: float) -> tuple[float, ...]:
    return equispaced(angles, span) if isinstance(angles, int) else tuple(angles)
