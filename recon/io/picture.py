"""Gray and colour pictures of images and measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from recon.errors import UsageError
from recon.io.atomic import atomic_file
from recon.io.image import Image
from recon.io.measurement import Measurement

__all__ = ["Planes", "grid", "is_inverted", "planes", "save_png", "to_bytes"]

Bytes = NDArray[np.uint8]
DYNAMIC_RANGE = 1e5
"""Ratio of the largest to the smallest magnitude that the picture of k-space tells apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """Two-dimensional views of one thing, all on one scale.

    Parameters
    ----------
    values
        float64 (count, H, W) or (count, H, W, 3) for colour.
    pixel
        Width and height of a pixel; only their ratio matters.
    """

    values: NDArray[np.float64]
    pixel: tuple[float, float] = (1.0, 1.0)

    @property
    def colour(self) -> bool:
        """Whether there are three channels."""
        return self.values.ndim == 4

    def window(self, percentiles: tuple[float, float] = (1.0, 99.0)) -> tuple[float, float]:
        """Return the values that become black and white: two percentiles, for colour [0, 1] if all values are there."""
        finite = self.values[np.isfinite(self.values)]
        if finite.size == 0:
            return 0.0, 1.0
        low, high = (float(v) for v in np.percentile(finite, percentiles))
        if self.colour and finite.min() >= 0 and finite.max() <= 1:
            return 0.0, 1.0
        # Mostly empty images: the percentiles may coincide though the image is not constant.
        return (low, high) if high > low else (float(finite.min()), float(finite.max()))


def planes(source: Image | Measurement) -> Planes:
    """Cut an image or a measurement into planes.

    An image gives its slices along z, of the first of all other axes, turned as radiologists look at them where the
    affine tells: rows from anterior to posterior or from head to feet, columns from the patient's right to left or from
    anterior to posterior. Complex values give magnitudes. A measurement gives one plane an item: channels of k-space
    as the logarithm of their root sum of squares, other data as they are, of the first channel.
    """
    return _of_image(source) if isinstance(source, Image) else _of_measurement(source)


def is_inverted(source: Image | Measurement) -> bool:
    """Whether large values are meant to be dark, as in many radiographs (DICOM's MONOCHROME1)."""
    return isinstance(source, Image) and source.metadata.get("photometric") == "MONOCHROME1"


def to_bytes(values: NDArray[np.float64], low: float, high: float) -> Bytes:
    """Map [low, high] to 0 ... 255, rounded and clipped; what is not a number is black. `low` may be the larger one."""
    scaled = (values - low) / (high - low if high != low else 1.0)
    return np.rint(np.clip(np.nan_to_num(scaled, nan=0.0), 0, 1) * 255).astype(np.uint8)


def grid(pictures: Sequence[Bytes], columns: int | None = None) -> Bytes:
    """Arrange pictures of one size in rows, from left to right; by default about as many rows as columns."""
    columns = columns or int(np.ceil(np.sqrt(len(pictures))))
    empty = np.zeros_like(pictures[0])
    padded = [*pictures, *[empty] * (-len(pictures) % columns)]
    return np.vstack([np.hstack(padded[i : i + columns]) for i in range(0, len(padded), columns)])


def save_png(picture: Bytes, path: str | Path, pixel: tuple[float, float] = (1.0, 1.0)) -> None:
    """Write a PNG file with square pixels: the axis of the larger pixels is stretched."""
    if Path(path).suffix.lower() != ".png":
        raise UsageError(f"{path}: pictures are written as .png")
    width, height = pixel
    shown = Pillow.fromarray(picture)
    if abs(width / height - 1) > 0.01:
        smaller = min(width, height)
        size = (max(1, round(shown.width * width / smaller)), max(1, round(shown.height * height / smaller)))
        shown = shown.resize(size, Pillow.Resampling.BICUBIC)
    with atomic_file(path) as temporary:
        shown.save(temporary, format="PNG")


def _of_image(image: Image) -> Planes:
    data = _magnitude(image.data)
    dims = list(image.dims)
    colour = "channel" in dims and data.shape[dims.index("channel")] == 3
    if colour:
        data = data.movedim(dims.index("channel"), -1)
        dims.remove("channel")
    while dims[0] not in ("z", "y"):
        data = data[0]
        dims.pop(0)
    values = data if "z" in dims else data[None]
    if image.affine is not None:
        for column, axis in ((0, 2), (1, 1)):
            direction = image.affine[:3, column]
            # RAS+: an index that grows to the right, to the front or upwards runs against the usual view.
            if direction[np.argmax(np.abs(direction))] > 0:
                values = values.flip(axis)
    size = image.voxel_size
    return Planes(_array(values), (1.0, 1.0) if size is None else (size[0], size[1]))


def _of_measurement(measurement: Measurement) -> Planes:
    data = measurement.data
    if data.is_complex():
        data = torch.linalg.vector_norm(_magnitude(data), dim=1)
        top = float(data.max()) or 1.0
        data = (data / top).clamp(min=1 / DYNAMIC_RANGE).log10()
    else:
        data = data[:, 0]
    while data.ndim > 3:
        data = data[:, data.shape[1] // 2]
    return Planes(_array(data if data.ndim == 3 else data[:, None]))


def _magnitude(data: Tensor) -> Tensor:
    return data.abs() if data.is_complex() else data


def _array(data: Tensor) -> NDArray[Any]:
    return data.detach().cpu().double().numpy()
