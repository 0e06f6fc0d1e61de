"""An image with its place in the patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from recon.errors import UsageError
from recon.io import geometry
from recon.io.geometry import Affine, check_affine, scaling_map
from recon.io.indexing import Index, index_items, pick, pick_facts
from recon.io.layout import SPACE, check_dims, from_layout, to_layout
from recon.io.metadata import METADATA, Value, check_metadata, check_quantity
from recon.io.provenance import Provenance
from recon.io.resampling import average, interpolate, pad, turn

__all__ = [
    "METADATA",
    "SPACE",
    "Affine",
    "Image",
    "Value",
    "check_affine",
    "check_metadata",
    "from_layout",
    "to_layout",
]

AXES = SPACE[::-1]
"""Names of the spatial axes in the order of voxel indices and affines."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Image:
    """Voxels and where they are: an immutable value, not a tensor, so that no operation leaves its geometry behind.

    Methods that change the grid return an image whose affine has moved along: each voxel keeps its place in the world.

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
        Unit of the values, one of `recon.io.metadata.UNITS`: HU, 1/mm, Bq/ml, rad ... or arbitrary.
    quantity
        What the values are, one of `recon.io.metadata.QUANTITIES`: attenuation, magnitude, phase, label ... By default
        what the unit tells, else "unknown".
    metadata
        Technical facts under the names in `METADATA`.
    notes
        What was done to the data, or what is odd about it, one sentence each. It may begin with a code and a colon.
    provenance
        Where the image came from, in hashes; None where nobody told.

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
    quantity: str | None = None
    metadata: Mapping[str, Value] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        """Check that the parts agree; normalise types."""
        set_ = object.__setattr__  # how a frozen dataclass initialises itself
        set_(self, "dims", check_dims(self.dims, tuple(self.data.shape)))
        set_(self, "notes", tuple(self.notes))
        set_(self, "metadata", check_metadata(self.metadata))
        set_(self, "quantity", check_quantity(self.quantity, self.unit))
        if self.affine is not None:
            affine = check_affine(self.affine)
            set_(self, "affine", affine)
            set_(self, "voxel_size", geometry.spacing(affine)[: len(self.space)])
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

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Voxel size (x, y) or (x, y, z) in mm; None where it is not known."""
        return self.voxel_size

    @property
    def orientation(self) -> str | None:
        """What x, y (and z) grow to: "LPS" for an upright axial DICOM volume; None without an affine.

        Oblique axes are named after what they are closest to, as nibabel does.
        """
        return None if self.affine is None else geometry.orientation(self.affine)[: len(self.space)]

    @property
    def is_sheared(self) -> bool:
        """Whether axes are off a right angle by more than 1e-4 radians, as those of a tilted gantry are."""
        return self.affine is not None and geometry.is_sheared(self.affine)

    @property
    def corners_mm(self) -> NDArray[np.float64]:
        """Places of the centres of the corner voxels in RAS+ mm, (8, 3) or (4, 3); x changes fastest, then y.

        Raises
        ------
        UsageError
            Without an affine.
        """
        return geometry.corners(self._placed(), self._size)[: 2 ** len(self.space)]

    def to_mm(self, index: Sequence[float] | NDArray[Any]) -> NDArray[np.float64]:
        """Return the places in RAS+ mm, (..., 3), of voxel indices (..., 3) in the order x, y, z.

        Raises
        ------
        UsageError
            Without an affine.
        """
        affine = self._placed()
        places: NDArray[np.float64] = np.asarray(index, dtype=np.float64) @ affine[:3, :3].T + affine[:3, 3]
        return places

    def same_grid(self, other: Image, tolerance_mm: float = 1e-3) -> bool:
        """Whether both have the same spatial shape, and no voxel is farther than `tolerance_mm` from its twin.

        Images without an affine lie on no known grid: never the same.
        """
        if self.affine is None or other.affine is None or self.space != other.space:
            return False
        return geometry.farthest(self.affine, other.affine, self._size) <= tolerance_mm

    def with_data(
        self, data: Tensor, *, unit: str | None = None, quantity: str | None = None, note: str | None = None
    ) -> Image:
        """Return an image with other values in the same place.

        Parameters
        ----------
        data
            Tensor of the same spatial shape; the axes before may have other sizes, not another number.
        unit, quantity
            New ones, if the values mean something else now. A unit that the quantity cannot have makes a new quantity.
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
        return self._changed(data, self.dims, unit=unit, quantity=quantity, note=note)

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

    def from_batch(
        self, data: Tensor, *, unit: str | None = None, quantity: str | None = None, note: str | None = None
    ) -> Image:
        """Put (batch, channel, *space) data, laid out as by `to_batch`, back in this image's place.

        A number of channels other than one makes an axis "channel"; it goes first.

        Raises
        ------
        UsageError
            If the data are not on this image's grid.
        """
        dims, data = from_layout(data, self.dims, self.shape)
        return self._changed(data, dims, unit=unit, quantity=quantity, note=note)

    def __getitem__(self, index: Index | tuple[Index, ...]) -> Image:
        """Return a part: ``image[..., 10:20, ::2, ::-1]``, an item along each of `dims`, with integers and slices.

        An integer drops its axis, as in numpy. Of a volume it leaves a plane whose axes are called y and x, in the
        order in which they were stored: ``volume[:, 5]`` is a coronal plane with the old z as its y. Its affine holds
        the place in the third dimension, so no information is lost. A length of 1, ``5:6``, keeps the volume.

        Raises
        ------
        IndexError
            For an integer beyond the axis, so that images can be iterated over.
        UsageError
            For anything but integers and slices, slices that pick nothing, and integers that leave no plane.
        """
        items = index_items(index, self.dims, self.shape)
        data, dims, moved = pick(self.data, self.dims, items)
        return replace(self._moved(data, moved, dims), metadata=pick_facts(self.metadata, self.dims, self.shape, items))

    def crop(
        self,
        *,
        z: tuple[int, int] | None = None,
        y: tuple[int, int] | None = None,
        x: tuple[int, int] | None = None,
    ) -> Image:
        """Return the voxels from the first up to, not including, the second index along each axis that is given.

        Raises
        ------
        UsageError
            If a range is empty or leaves the image; `pad` makes room.
        """
        ranges = [slice(None)] * len(self.space)
        for name, span in zip(SPACE, (z, y, x), strict=True):
            if span is None:
                continue
            axis = self._axis(name)
            count = self.space[axis]
            if not 0 <= span[0] < span[1] <= count:
                raise UsageError(f"crop {name}={tuple(span)} must be a range within the {count} voxels of that axis")
            ranges[axis] = slice(*span)
        return self[(..., *ranges)]

    def pad(
        self,
        *,
        z: tuple[int, int] = (0, 0),
        y: tuple[int, int] = (0, 0),
        x: tuple[int, int] = (0, 0),
        value: float | None = None,
    ) -> Image:
        """Add voxels before and after along each axis that is given.

        Parameters
        ----------
        z, y, x
            Number of voxels (before, after).
        value
            What they hold; by default air, -1000, in an image in HU, and 0 in any other.

        Raises
        ------
        UsageError
            For negative numbers, which `crop` is for.
        """
        given = {"x": x, "y": y, "z": z}
        if "z" not in self.dims and tuple(z) != (0, 0):
            self._axis("z")
        widths = [given[name] for name in AXES[: len(self.space)]]
        if min(min(width) for width in widths) < 0:
            raise UsageError("numbers of voxels to pad must not be negative; use crop")
        starts = [-float(given[name][0]) for name in AXES]
        data = pad(self.data, widths, self._outside(value))
        return self._moved(data, scaling_map((1, 1, 1), starts))

    def flip(self, *axes: str) -> Image:
        """Reverse spatial axes, by name.

        Raises
        ------
        UsageError
            If the image has no such axis.
        """
        ranges = [slice(None)] * len(self.space)
        for name in axes:
            ranges[self._axis(name)] = slice(None, None, -1)
        return self[(..., *ranges)]

    def permute(self, *axes: str) -> Image:
        """Store the spatial axes in another order: ``volume.permute("y", "z", "x")`` has coronal slices.

        They are called z, y and x again, after the order in which they are stored.

        Raises
        ------
        UsageError
            Unless each of the image's spatial axes is named once.
        """
        own = self.dims[-len(self.space) :]
        if sorted(axes) != sorted(own):
            raise UsageError(f"permute needs each of {', '.join(own)} once, got {', '.join(map(str, axes)) or 'none'}")
        order = [AXES.index(name) for name in axes[::-1]]
        data, moved = turn(self.data, len(own), [*order, 2][:3], (False,) * 3)
        return self._moved(data, moved)

    def oriented(self, code: str) -> Image:
        """Permute and reverse the spatial axes, so that x, y and z grow to the directions of `code`, such as "RAS".

        Nothing is interpolated: oblique axes are taken for what they are closest to.

        Parameters
        ----------
        code
            A letter each for x, y and z: one of R L, of A P and of S I. Of a plane, two letters of its own directions.

        Raises
        ------
        UsageError
            Without an affine, and for other codes.
        """
        own = geometry.orientation(self._placed())
        planar = len(self.space) == 2
        axes, reverse = geometry.turning(self._placed(), code + own[2:] if planar else code)
        if planar and axes[2] != 2:
            raise UsageError(f"orientation {code!r} is not in the plane of an image whose axes grow to {own[:2]}")
        return self._moved(*turn(self.data, len(self.space), axes, reverse))

    def downsample(self, factor: int = 1, *, z: int | None = None, y: int | None = None, x: int | None = None) -> Image:
        """Average blocks of voxels; the new voxels lie in the middle of theirs.

        Voxels at the far end that do not fill a block are dropped, with a note. Integers become floating.

        Parameters
        ----------
        factor
            Size of the blocks along each spatial axis.
        z, y, x
            The same for one axis.

        Raises
        ------
        UsageError
            If a block is larger than the image, or the values are labels.
        """
        self._check_blendable("take every other voxel instead, image[..., ::2, ::2]")
        if "z" not in self.dims and z is not None:
            self._axis("z")
        chosen = [factor if own is None else own for own in (x, y, z)][: len(self.space)]
        for name, count, block in zip(AXES, self._size, chosen, strict=False):
            if not 1 <= block <= count:
                raise UsageError(f"downsample: blocks of {block} along {name} must be between 1 and {count} voxels")
        data = average(self.data, chosen)
        left = [f"{c % b} along {n}" for n, c, b in zip(AXES, self._size, chosen, strict=False) if c % b]
        note = f"averaged over blocks of {' x '.join(map(str, chosen))} voxels ({', '.join(AXES[: len(chosen)])})"
        note += f"; dropped at the far end: {', '.join(left)}" if left else ""
        steps = [float(block) for block in [*chosen, 1][:3]]
        image = self._moved(data, scaling_map(steps, [(step - 1) / 2 for step in steps]))
        return replace(image, notes=(*image.notes, note))

    def resample(
        self,
        *,
        to: Image | None = None,
        spacing: float | Sequence[float] | None = None,
        mode: Literal["linear", "nearest"] = "linear",
        fill: float | None = None,
    ) -> Image:
        """Interpolate on another grid, through both affines, oblique and sheared ones too.

        Where a new voxel lies on an old one, it takes its value exactly. Integers become floating unless `mode` is
        "nearest". A coarser grid is not smoothed for: call `downsample` first.

        Parameters
        ----------
        to
            Image whose grid is taken.
        spacing
            Or the voxel size in mm, one for all axes or (x, y, z): a grid of the same orientation, with the same
            centre, whose voxels cover the image.
        mode
            "linear", or "nearest", which labels need.
        fill
            Value outside the image, that is beyond half a voxel from the outermost centres. By default air, -1000, in
            an image in HU, and 0 in any other.

        Raises
        ------
        UsageError
            Unless one of `to` and `spacing` is given, if a place or a size that it takes is not known, or labels are
            interpolated linearly.
        """
        if mode not in ("linear", "nearest"):
            raise UsageError("resample: mode must be 'linear' or 'nearest'")
        if (to is None) == (spacing is None):
            raise UsageError("resample takes either the image whose grid is wanted, to=, or a voxel size, spacing=")
        if mode == "linear":
            self._check_blendable("use mode='nearest'")
        if to is not None:
            index_map = geometry.between(self._placed(), to._placed())
            size, space = to._size, len(to.space)
        else:
            index_map, size = geometry.regridding(self._size, self.voxel_size, spacing)
            space = len(self.space)
        data = self.data if "z" in self.dims else self.data.unsqueeze(-3)
        data = interpolate(data, index_map, size[::-1], nearest=mode == "nearest", fill=self._outside(fill))
        data = data if space == 3 else data.squeeze(-3)
        image = self._moved(data, index_map, (*self.dims[: -len(self.space)], *SPACE[3 - space :]))
        notes = (*self.notes, f"interpolated on another grid ({mode})")
        return replace(image, affine=image.affine if to is None else to.affine, notes=notes)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the values as numpy takes them, in the order of `dims`; their place stays behind.

        Raises
        ------
        UsageError
            If complex values are asked for as real ones, which would drop the imaginary part.
        """
        if dtype is not None and self.data.is_complex() and not np.issubdtype(dtype, np.complexfloating):
            raise UsageError(
                "complex values do not become real by themselves: take data.abs(), .angle(), .real or .imag"
            )
        values = self.data.detach().resolve_conj().resolve_neg().cpu().numpy()
        return np.array(values, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        """Say what the image is, without its values."""
        place = "no affine" if self.affine is None else f"origin {tuple(np.round(self.affine[:3, 3], 3).tolist())}"
        size = (
            "unknown voxel size" if self.voxel_size is None else " x ".join(f"{v:g}" for v in self.voxel_size) + " mm"
        )
        axes = ", ".join(f"{name}={count}" for name, count in zip(self.dims, self.shape, strict=True))
        return f"Image({axes}, {str(self.data.dtype)[6:]}, {self.unit}, {size}, {place})"

    @property
    def _size(self) -> tuple[int, int, int]:
        """Number of voxels along x, y and z."""
        x, y, z = (*self.space[::-1], 1)[:3]
        return x, y, z

    def _placed(self) -> Affine:
        if self.affine is None:
            raise UsageError("the image has no affine: where its voxels are is not known")
        return self.affine

    def _axis(self, name: str) -> int:
        """Return the position of a spatial axis among those of the image."""
        own = self.dims[-len(self.space) :]
        if name not in own:
            raise UsageError(f"{name!r} is not a spatial axis of an image with axes {', '.join(self.dims)}")
        return own.index(name)

    def _outside(self, value: float | None) -> float:
        if value is not None:
            return value
        return -1000.0 if self.unit == "HU" else 0.0

    def _check_blendable(self, instead: str) -> None:
        if self.quantity == "label" or self.data.dtype == torch.bool:
            raise UsageError(f"labels have no means: {instead}")

    def _moved(self, data: Tensor, index_map: Affine, dims: tuple[str, ...] | None = None) -> Image:
        """Return an image of other voxels, each of which is where `index_map` finds it in this one."""
        dims = self.dims if dims is None else dims
        if self.affine is not None:
            return replace(self, data=data, dims=dims, affine=self.affine @ index_map)
        size = None
        if self.voxel_size is not None:
            edges = np.array([*self.voxel_size, 1.0][:3])[:, None] * index_map[:3, :3]
            size = tuple(np.linalg.norm(edges, axis=0).tolist())[: 3 if "z" in dims else 2]
        return replace(self, data=data, dims=dims, voxel_size=size)

    def _changed(
        self, data: Tensor, dims: tuple[str, ...], *, unit: str | None, quantity: str | None, note: str | None
    ) -> Image:
        """Return an image of other values on the same grid."""
        unit = unit or self.unit
        quantity = quantity or (self.quantity if unit == self.unit else None)
        notes = (*self.notes, note) if note else self.notes
        return replace(self, data=data, dims=dims, unit=unit, quantity=quantity, notes=notes)
