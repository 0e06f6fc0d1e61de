"""Units at the file boundary: CT images are Hounsfield units in files, and 1/mm inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.errors import UsageError
from recon.io.hounsfield import AIR, WATER, from_hu, to_hu

if TYPE_CHECKING:
    from recon.io import Image

__all__ = ["UNITS", "to_attenuation", "to_file"]

UNITS = ("HU", "1/mm")
_PADDING = -1024.0
"""HU below which no scanner puts air: what lies there fills the corners outside its field of view."""


def to_attenuation(image: Image, water: float | None) -> Image:
    """Turn an image in HU into one in 1/mm, which remembers what water and air were; padding becomes air."""
    import torch

    water = WATER if water is None else water
    outside = image.data < _PADDING
    count = int(outside.sum())
    hu = torch.where(outside, -1000, image.data.to(torch.promote_types(image.data.dtype, torch.float32)))
    note = f"HU to 1/mm with water {water:g}"
    if count:
        note += f"; {count} values below {_PADDING:g} HU, outside of the scanner's field of view, taken for air"
    return _remembering(image.with_data(from_hu(hu, water=water), unit="1/mm", note=note), water)


def to_file(image: Image, unit: str | None, water: float | None) -> Image:
    """Turn an image in 1/mm into HU for its file, if it is known what water is and nothing else is asked for."""
    if image.unit != "1/mm" or unit == "1/mm":
        if unit == "HU" and image.unit != "HU":
            raise UsageError(f"--unit HU: the image is in {image.unit!r} units, not in 1/mm")
        return image
    known = image.metadata.get("water_per_mm")
    if water is None and known is None:
        if unit == "HU":
            raise UsageError("--unit HU: the file does not tell the attenuation of water: add --water, in 1/mm")
        return image
    air = float(image.metadata.get("air_per_mm", AIR)) if water is None else AIR  # type: ignore[arg-type]
    water = float(known) if water is None else water  # type: ignore[arg-type]
    return image.with_data(to_hu(image.data, water=water, air=air), unit="HU", note=f"1/mm to HU with water {water:g}")


def _remembering(image: Image, water: float) -> Image:
    from dataclasses import replace

    return replace(image, metadata={**image.metadata, "water_per_mm": water, "air_per_mm": AIR})
