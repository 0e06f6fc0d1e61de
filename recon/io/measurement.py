"""Measured data with the operator that their file implies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.io.deferred import Deferred, Loaded
from recon.io.image import SPACE, Affine, Image, Value, check_affine, check_metadata, from_layout
from recon.kspace import crop_centred

if TYPE_CHECKING:
    from recon.operators import Operator

__all__ = ["Measurement"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Measurement:
    """What a scanner or a simulation measured.

    Parameters
    ----------
    data
        Tensor as the operator gives it, with its batch axis: (batch, coil, *k), (batch, channel, angle, detector) ...
        A reader of large files gives a `Deferred`: `data` is read when it is first asked for, `shape` and `dtype` need
        no reading, and `items` reads a part.
    operator_config
        The operator as a config, ``{"use": "fourier", ...}``, which may hold tensors; None where nothing tells.
        It is built when asked for, so that looking at a file needs no operator.
    reference
        Image to compare a reconstruction with, if the file has one.
    affine, voxel_size, unit
        Of the image that will be reconstructed, as for `Image`.
    dims
        Axes of that image, which say what the batch is: ("z", "y", "x") where the items are slices of a volume. By
        default ("batch", *space), or just the space for one item.
    batch
        Sizes of the axes of `dims` that the items run through, outermost first, where they are several: 5 repetitions
        of 8 slices are 40 items of ("repetition", "z", "y", "x") with (5, 8).
    crop
        Size (*space) of the central part that `image` keeps of a reconstruction, where the field of view was measured
        larger than it is shown: oversampled k-space. `affine` and `voxel_size` are those of what is kept.
    calibration
        k-space from which coil sensitivities or kernels are estimated, of the shape of `data` with zeros where nothing
        was measured; None where the data hold what there is.
    metadata, notes
        As for `Image`.
    """

    data: Loaded = Loaded()  # noqa: RUF009 - a descriptor, which dataclasses know how to ask
    operator_config: Mapping[str, Any] | None = None
    reference: Image | None = None
    affine: Affine | None = None
    voxel_size: tuple[float, ...] | None = None
    unit: str = "arbitrary"
    dims: tuple[str, ...] | None = None
    batch: tuple[int, ...] | None = None
    crop: tuple[int, ...] | None = None
    calibration: Tensor | None = None
    metadata: Mapping[str, Value] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that the parts agree; normalise types."""
        set_ = object.__setattr__
        if len(self.shape) < 3:
            raise UsageError(f"a measurement has the shape (batch, channel or coil, ...), not {self.shape}")
        if self.operator_config is not None:
            if not isinstance(self.operator_config.get("use"), str):
                raise UsageError("operator_config needs the operator's name under 'use'")
            set_(self, "operator_config", dict(self.operator_config))
        if self.affine is not None:
            set_(self, "affine", check_affine(self.affine))
        if self.voxel_size is not None:
            set_(self, "voxel_size", tuple(float(size) for size in self.voxel_size))
        if self.dims is not None:
            set_(self, "dims", tuple(self.dims))
        if self.batch is not None:
            set_(self, "batch", tuple(int(size) for size in self.batch))
            if math.prod(self.batch) != self.shape[0]:
                raise UsageError(f"a batch of {self.batch} does not have the {self.shape[0]} items of the measurement")
        if self.crop is not None:
            set_(self, "crop", tuple(int(size) for size in self.crop))
        if self.calibration is not None and self.calibration.shape != self.shape:
            raise UsageError(
                f"calibration data of shape {tuple(self.calibration.shape)} must have the shape of the measurement, "
                f"{self.shape}"
            )
        set_(self, "notes", tuple(self.notes))
        set_(self, "metadata", check_metadata(self.metadata))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the data, which are not read for it."""
        return tuple(self._held.shape)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the data, which are not read for it."""
        return self._held.dtype

    def items(self, start: int, stop: int) -> Tensor:
        """Return the data of some items of the batch, reading no others: (stop - start, channel or coil, ...).

        Raises
        ------
        FileFormatError
            If the file they are in is damaged there, or has changed.
        """
        held = self._held
        return held.items(start, stop) if isinstance(held, Deferred) else held[start:stop]

    def operator(self) -> Operator:
        """Build the operator.

        Raises
        ------
        UsageError
            If the file did not tell which it is.
        """
        if self.operator_config is None:
            raise UsageError("this measurement does not say which operator made it; name one")
        from recon.building import build

        return build("operator", self.operator_config)

    def image(self, data: Tensor, *, note: str | None = None) -> Image:
        """Wrap a reconstruction of this measurement, (batch, channel, *space), in an image with its geometry.

        Raises
        ------
        UsageError
            If the batch is not that of the measurement.
        """
        batch = self.shape[0]
        if data.shape[0] != batch:
            raise UsageError(f"the measurement has {batch} items, the reconstruction {data.shape[0]}")
        if self.crop is not None and any(a > b for a, b in zip(data.shape[-len(self.crop) :], self.crop, strict=True)):
            data = crop_centred(data, self.crop)
        space = SPACE[-(data.ndim - 2) :]
        dims = self.dims or (space if batch == 1 else ("batch", *space))
        outer = self.batch or (batch,)
        if len(dims) - len(space) not in ((len(outer),) if self.batch else (0, 1)):
            raise UsageError(f"a reconstruction of shape {tuple(data.shape)} does not have the axes {dims}")
        dims, data = from_layout(data, dims, (*outer, *data.shape[2:])[-len(dims) :])
        notes = (*self.notes, note) if note else self.notes
        return Image(
            data=data,
            affine=self.affine,
            dims=dims,
            voxel_size=None if self.voxel_size is None else self.voxel_size[: 3 if "z" in dims else 2],
            unit=self.unit,
            metadata=self.metadata,
            notes=notes,
        )

    def __repr__(self) -> str:
        """Say what the measurement is, without its values."""
        name = self.operator_config["use"] if self.operator_config else "unknown"
        shape = " x ".join(map(str, self.shape))
        return f"Measurement({shape}, {str(self.dtype)[6:]}, operator {name}, reference {self.reference})"

    @property
    def _held(self) -> Tensor | Deferred:
        held: Tensor | Deferred = self.__dict__["data"]
        return held
