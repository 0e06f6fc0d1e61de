"""The projectors of parallel and of cone beams in space, by the numbers of a scanner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Self

from annotated_types import Ge, Gt

from recon.errors import UsageError
from recon_plugins.radon.backends import Backend
from recon_plugins.radon.cone_geometry import ConeBeam, Parallel3D, SpatialGeometry, check_outside, pair
from recon_plugins.radon.geometry import Detector, ParallelBeam, equispaced
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.volume_transform import VolumeTransform, Voxel

__all__ = ["ConeBeamRadon", "Radon3D"]

Size = tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)], Annotated[int, Gt(0)]]
Bins = tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]]
BinSize = Annotated[float, Gt(0)] | tuple[Annotated[float, Gt(0)], Annotated[float, Gt(0)]]


class Radon3D(VolumeTransform):
    """Parallel-beam transform of volumes onto a flat detector: line integrals by linear interpolation, in mm.

    Row i of the detector is the `Radon` transform of the plane z = v_i = (i - (R - 1) / 2) dv + offset_v, in which
    slices are interpolated linearly. Rows and slices grow with z.

    Shapes: x (batch, channel, D, H, W) -> y (batch, channel, A, R, C), real or complex, in float32 or float64 (half
    precision is computed, and returned, in float32). The adjoint uses the very same weights.

    Parameters
    ----------
    size
        Volume size (D, H, W).
    angles
        Number of views, equispaced over [0, pi); or the views' angles in radians.
    pixel
        Edge of a voxel in mm, or its edges (depth, height, width).
    bins
        Number of detector rows and columns (R, C); by default enough to see the whole volume, if the detector is
        centred.
    bin_size
        Edge of a bin in mm, or its height and width; by default those of a voxel.
    rays_per_bin
        Rays (along rows, along columns) averaged over a bin; by default 1 each, or 2 bin_size / pixel (rounded up)
        where a bin is wider than 1.5 voxels.
    offset
        Shift (v, u) of the detector in mm: along z, and along its rows.
    centre
        The volume's centre (x, y, z) in mm from the origin on the axis of rotation.
    backend
        As for `VolumeTransform`.

    Raises
    ------
    UsageError
        If angles look like degrees, or a backend is asked for that is missing; at first use, if sparse matrices would
        take more than 2 GiB.

    References
    ----------
    Joseph, IEEE Trans. Med. Imaging 1:192, 1982, doi:10.1109/TMI.1982.4307572
    """

    def __init__(
        self,
        *,
        size: Size,
        angles: Annotated[int, Gt(0)] | Sequence[float],
        pixel: Voxel = 1.0,
        bins: Bins | None = None,
        bin_size: BinSize | None = None,
        rays_per_bin: Annotated[int, Gt(0)] | Bins | None = None,
        offset: tuple[float, float] = (0.0, 0.0),
        centre: tuple[float, float, float] = (0.0, 0.0, 0.0),
        backend: Backend = "auto",
    ) -> None:
        grid = Grid(size, pixel, centre)
        dv, du = (grid.pixel[0], min(grid.pixel[1:])) if bin_size is None else pair(bin_size, float)
        if bins is None:
            height = grid.size[0] * grid.pixel[0] + 2 * abs(grid.centre[2])
            counts = ParallelBeam.bins_for(height / 2, dv), ParallelBeam.bins_for(grid.radius, du)
        else:
            counts = pair(bins, int)
        views = equispaced(angles, math.pi) if isinstance(angles, int) else tuple(angles)
        super().__init__(
            geometry=Parallel3D(views, counts, (dv, du), pair(offset, float)),
            size=size,
            pixel=pixel,
            centre=centre,
            rays_per_bin=rays_per_bin,
            backend=backend,
        )
        self.angles = angles if isinstance(angles, int) else views
        self.bins = bins
        self.bin_size = bin_size
        self.offset = offset

    def _of(self, geometry: SpatialGeometry) -> Self:
        return self.with_(angles=geometry.angles, bins=geometry.bins)


class ConeBeamRadon(VolumeTransform):
    """Cone-beam transform of volumes: line integrals from a turning point source by linear interpolation, in mm.

    At view theta the source stands at source_distance (sin(theta), -cos(theta)), x to the right and y up (row 0 of a
    slice on top), at the height pitch theta / (2 pi), and the detector opposite, detector_distance beyond the axis.
    Row i lies v_i = (i - (R - 1) / 2) dv + offset_v along z from the central ray, and column j of a flat detector
    u_j = (j - (C - 1) / 2) du + offset_u along (cos(theta), sin(theta)); of a curved one, a cylinder about the source,
    at the arc length u_j. The middle row of a circular scan is the `FanBeamRadon` transform of the plane z = 0.

    Shapes: x (batch, channel, D, H, W) -> y (batch, channel, A, R, C), real or complex, in float32 or float64 (half
    precision is computed, and returned, in float32). Rows and slices grow with z. The adjoint uses the very same
    weights. Bins wider than 1.5 voxels at the axis average several rays, as in `VolumeTransform`, which also takes
    tilted detectors and listed heights of the source.

    Parameters
    ----------
    size
        Volume size (D, H, W).
    angles
        Number of views, equispaced over [0, 2 pi); or the views' angles in radians, over several turns on a helix.
    source_distance, detector_distance
        Distance of source and detector from the axis of rotation in mm; the source lies outside the volume's circle.
    pixel
        Edge of a voxel in mm, or its edges (depth, height, width).
    bins
        Number of detector rows and columns (R, C); by default enough to see the whole volume from a circle, if the
        detector is centred.
    bin_size
        Edge of a bin on the detector in mm, or its height and width; by default those of a voxel, magnified.
    offset
        Shift (v, u) of the detector within itself in mm.
    detector
        Flat, or curved about the source.
    pitch
        Travel of source and detector along z in mm per turn.
    centre
        The volume's centre (x, y, z) in mm from the origin on the axis of rotation.
    backend
        As for `VolumeTransform`.

    Raises
    ------
    UsageError
        If angles look like degrees, the source runs through the volume, a helix comes without bins, or a backend is
        asked for that is missing; at first use, if sparse matrices would take more than 2 GiB.

    References
    ----------
    Joseph, IEEE Trans. Med. Imaging 1:192, 1982, doi:10.1109/TMI.1982.4307572
    """

    geometry: ConeBeam

    def __init__(
        self,
        *,
        size: Size,
        angles: Annotated[int, Gt(0)] | Sequence[float],
        source_distance: Annotated[float, Gt(0)],
        detector_distance: Annotated[float, Ge(0)],
        pixel: Voxel = 1.0,
        bins: Bins | None = None,
        bin_size: BinSize | None = None,
        offset: tuple[float, float] = (0.0, 0.0),
        detector: Detector = "flat",
        pitch: float = 0.0,
        centre: tuple[float, float, float] = (0.0, 0.0, 0.0),
        backend: Backend = "auto",
    ) -> None:
        grid = Grid(size, pixel, centre)
        check_outside(grid, source_distance)
        magnification = (source_distance + detector_distance) / source_distance
        voxel = grid.pixel[0] * magnification, min(grid.pixel[1:]) * magnification
        edges = voxel if bin_size is None else pair(bin_size, float)
        if bins is None and pitch:
            raise UsageError("a helix does not see the whole volume in each view: give bins (rows, columns)")
        if bins is None:
            counts = ConeBeam.bins_for(grid, edges, source_distance, detector_distance, detector)
        else:
            counts = pair(bins, int)
        views = equispaced(angles, 2 * math.pi) if isinstance(angles, int) else tuple(angles)
        geometry = ConeBeam(
            views, counts, edges, source_distance, detector_distance, pair(offset, float), detector, pitch
        )
        super().__init__(geometry=geometry, size=size, pixel=pixel, centre=centre, backend=backend)
        self.angles = angles if isinstance(angles, int) else views
        self.source_distance = source_distance
        self.detector_distance = detector_distance
        self.bins = bins
        self.bin_size = bin_size
        self.offset = offset
        self.detector: Detector = detector
        self.pitch = pitch

    def _of(self, geometry: SpatialGeometry) -> Self:
        return self.with_(angles=geometry.angles, bins=geometry.bins)
