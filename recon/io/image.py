"""An image with its place in the patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from recon.errors import UsageError

__all__ = ["METADATA", "SPACE", "Image", "check_affine", "check_metadata", "from_layout", "to_layout"]

SPACE = ("z", "y", "x")
"""Names of the spatial axes in the order in which arrays store them."""

METADATA: Mapping[str, str] = {
    "acceleration": "undersampling factor of the measurement",
    "acquisition": "kind of protocol, as the data set names it",
    "air_per_mm": "attenuation in 1/mm that -1000 HU stands for",
    "coils": "receiver channels",
    "coordinate_space": "what the world coordinates refer to: scanner, aligned, talairach, mni",
    "echo_time_ms": "echo time",
    "encoded_fov_mm": "field of view of the measured k-space (x, y, z)",
    "encoded_matrix": "matrix of the measured k-space (x, y, z)",
    "field_strength_T": "main field",
    "flip_angle_deg": "flip angle",
    "gantry_tilt_deg": "tilt as the scanner states it",
    "inversion_time_ms": "inversion time",
    "kernel": "reconstruction kernel",
    "kvp": "tube voltage in kV",
    "manufacturer": "maker of the scanner",
    "maximum": "largest value of the reference volume",
    "modality": "CT, MR, PT ...",
    "num_low_frequency": "fully sampled central columns",
    "padding": "columns (first, past the last) that were measured",
    "photons": "photons of a ray that meets nothing",
    "photometric": "MONOCHROME1 images are displayed inverted",
    "recon_fov_mm": "field of view of the reconstructed image (x, y, z)",
    "recon_matrix": "matrix of the reconstructed image (x, y, z)",
    "repetition_time_ms": "repetition time",
    "sequence": "kind of pulse sequence",
    "slice_thickness_mm": "nominal slice thickness",
    "tube_current_mA": "tube current",
    "water_per_mm": "attenuation in 1/mm that 0 HU stands for",
}
"""Technical metadata that may travel with an image. Nothing else does, so no name of a patient can."""

Scalar = str | int | float | bool
Value = Scalar | tuple[Scalar, ...]
Affine = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Image:
    """Voxels and where they are: an immutable value, not a tensor, so that no operation leaves its geometry behind.

    Parameters
    ----------
    data
        Tensor whose last two or three axes are space, stored (z, y, x): the order of DICOM slices, of NIfTI in memory
        and of networks.
    affine
        4x4, voxel index (x, y, z, 1) to RAS+ mm, so its columns run against the order of the axes of `data`. A
        two-dimensional image has z index 0. None where it is not known; an identity is never made up.
    dims
        Names of the axes of `data`, ending in ("z", "y", "x") or ("y", "x"), which is the default for tensors of three
        and two axes; others come first: ("t", "z", "y", "x"), ("channel", "y", "x").
    voxel_size
        Voxel size (x, y) or (x, y, z) in mm, for where it is known though the affine is not; else the affine tells.
    unit
        HU, 1/mm, or arbitrary.
    metadata
        Technical facts under the names in `METADATA`.
    notes
        What was done to the data, or what is odd about it, one sentence each.

    Raises
    ------
    UsageError
        If the parts contradict each other.
    """

    data: Tensor
    affine: Affine | None = None
    dims: tuple[str, ...] = ()
    voxel_size: tuple[float, ...] | None = None
    unit: str = "arbitrary"
    metadata: Mapping[str, Value] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that the parts agree; normalise types."""
        set_ = object.__setattr__  # how a frozen dataclass initialises itself
        dims = tuple(self.dims) or SPACE[max(0, 3 - self.data.ndim) :]
        if len(dims) != self.data.ndim or not (dims[-2:] == SPACE[1:]) or len(set(dims)) != len(dims):
            raise UsageError(
                f"dims {dims} do not name the axes of a tensor of shape {tuple(self.data.shape)}: one distinct name "
                "per axis, the last ones ('z', 'y', 'x') or ('y', 'x')"
            )
        if "z" in dims[:-3] or (len(dims) > 2 and "z" in dims and dims[-3] != "z"):
            raise UsageError(f"dims {dims}: axis 'z' must stand right before 'y' and 'x'")
        set_(self, "dims", dims)
        set_(self, "notes", tuple(self.notes))
        set_(self, "metadata", check_metadata(self.metadata))
        if self.affine is not None:
            affine = check_affine(self.affine)
            set_(self, "affine", affine)
            sizes = np.linalg.norm(affine[:3, :3], axis=0)[: len(self.space)]
            set_(self, "voxel_size", tuple(float(size) for size in sizes))
        elif self.voxel_size is not None:
            sizes = np.asarray(self.voxel_size, dtype=np.float64)
            if sizes.shape != (len(self.space),) or not np.all(np.isfinite(sizes) & (sizes > 0)):
                raise UsageError(f"voxel_size {self.voxel_size} must be {len(self.space)} positive lengths in mm")
            set_(self, "voxel_size", tuple(float(size) for size in sizes))

    @property
    def space(self) -> tuple[int, ...]:
        """Spatial shape: (z, y, x) or (y, x)."""
        return tuple(self.data.shape[-3:] if "z" in self.dims else self.data.shape[-2:])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the data."""
        return tuple(self.data.shape)

    def with_data(self, data: Tensor, *, unit: str | None = None, note: str | None = None) -> Image:
        """Return an image with other values in the same place.

        Parameters
        ----------
        data
            Tensor of the same spatial shape; the axes before may have other sizes, not another number.
        unit
            New unit, if the values mean something else now.
        note
            Sentence to add to the notes.

        Raises
        ------
        UsageError
            If the spatial shape differs: the affine would be wrong.
        """
        if data.ndim != self.data.ndim or tuple(data.shape[-len(self.space) :]) != self.space:
            raise UsageError(
                f"data of shape {tuple(data.shape)} do not fit the grid {self.space} of an image of shape {self.shape}"
            )
        notes = (*self.notes, note) if note else self.notes
        return replace(self, data=data, unit=unit or self.unit, notes=notes)

    def to_batch(self, space: int | None = None) -> Tensor:
        """Return the data as operators and networks take them, (batch, channel, *space), floating or complex.

        Axis "channel" becomes the channel; all others go into the batch.

        Parameters
        ----------
        space
            2 takes the slices of a volume as items of the batch; by default the image's own number of dimensions.
        """
        data = self.data if self.data.is_floating_point() or self.data.is_complex() else self.data.float()
        return to_layout(data, self.dims, space or len(self.space))

    def from_batch(self, data: Tensor, *, unit: str | None = None, note: str | None = None) -> Image:
        """Put (batch, channel, *space) data, laid out as by `to_batch`, back in this image's place.

        A number of channels other than one makes an axis "channel"; it goes first.

        Raises
        ------
        UsageError
            If the data are not on this image's grid.
        """
        dims, data = from_layout(data, self.dims, self.shape)
        notes = (*self.notes, note) if note else self.notes
        return replace(self, data=data, dims=dims, unit=unit or self.unit, notes=notes)

    def __repr__(self) -> str:
        """Say what the image is, without its values."""
        place = "no affine" if self.affine is None else f"origin {tuple(np.round(self.affine[:3, 3], 3).tolist())}"
        size = (
            "unknown voxel size" if self.voxel_size is None else " x ".join(f"{v:g}" for v in self.voxel_size) + " mm"
        )
        axes = ", ".join(f"{name}={count}" for name, count in zip(self.dims, self.shape, strict=True))
        return f"Image({axes}, {str(self.data.dtype)[6:]}, {self.unit}, {size}, {place})"


def check_affine(affine: ArrayLike) -> Affine:
    """Return a read-only float64 copy of an affine.

    Raises
    ------
    UsageError
        If it is not a finite, invertible 4x4 matrix with last row 0 0 0 1.
    """
    matrix = np.array(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.all(np.isfinite(matrix)) or matrix[3].tolist() != [0, 0, 0, 1]:
        raise UsageError(f"an affine is a finite 4x4 matrix with last row 0 0 0 1, got {matrix.tolist()}")
    sizes = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.all(sizes > 0) or abs(np.linalg.det(matrix[:3, :3] / sizes)) < 1e-6:
        raise UsageError(
            f"the affine {matrix.tolist()} is singular: two of its axes are parallel, or one has no length"
        )
    matrix.setflags(write=False)
    return matrix


def check_metadata(metadata: Mapping[str, Any]) -> dict[str, Value]:
    """Return a copy of the metadata with plain values.

    Raises
    ------
    UsageError
        If a name is not in `METADATA` or a value is not plain.
    """
    checked: dict[str, Value] = {}
    for key, value in metadata.items():
        if key not in METADATA:
            raise UsageError(
                f"metadata {key!r} is not on the list of technical facts that may travel (recon.io.image.METADATA)"
            )
        plain = tuple(value) if isinstance(value, (list, tuple)) else value
        if not all(isinstance(item, Scalar) for item in (plain if isinstance(plain, tuple) else (plain,))):
            raise UsageError(
                f"metadata {key!r} must be a number, a string or a list of them, not {type(value).__name__}"
            )
        checked[key] = plain
    return checked


def to_layout(data: Tensor, dims: tuple[str, ...], space: int) -> Tensor:
    """Rearrange `data` with named axes to (batch, channel, *space); see `Image.to_batch`."""
    own = 3 if "z" in dims else 2
    if space not in (2, 3) or space > own:
        raise UsageError(f"an image with axes {dims} has no {space} dimensions in space")
    data = data.movedim(dims.index("channel"), -own - 1) if "channel" in dims else data.unsqueeze(-own - 1)
    if space < own:  # (..., channel, z, y, x) -> (..., z, channel, y, x)
        data = data.movedim(-3, -4)
    return data.reshape(-1, *data.shape[-space - 1 :])


def from_layout(data: Tensor, dims: tuple[str, ...], shape: tuple[int, ...]) -> tuple[tuple[str, ...], Tensor]:
    """Undo `to_layout` for an image of axes `dims` and shape `shape`: new dims, with channels first, and data."""
    sizes = dict(zip(dims, shape, strict=True))
    space = data.ndim - 2
    own = 3 if "z" in dims else 2
    outer = tuple(name for name in dims[: len(dims) - space] if name != "channel")
    expected = [sizes[name] for name in outer]
    if (
        space not in (2, 3)
        or space > own
        or data.shape[0] != int(np.prod(expected))
        or data.shape[2:] != tuple(shape[-space:])
    ):
        raise UsageError(f"data of shape {tuple(data.shape)} do not lie on the grid of an image with {sizes}")
    data = data.movedim(1, 0).reshape(-1, *expected, *data.shape[2:])
    names = outer + dims[len(dims) - space :]
    if data.shape[0] == 1:
        return names, data[0]
    return ("channel", *names), data
