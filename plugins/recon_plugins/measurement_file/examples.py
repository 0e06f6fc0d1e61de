"""Small cases for the conformance kit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from recon.io import Image, Measurement
from recon.testing import Example
from recon_plugins.measurement_file.writer import MeasurementWriter

__all__ = ["reader", "writer"]


def reader() -> list[Example]:
    """Return a full file and one with nothing but data."""
    return [Example(prepare=_full, name="full"), Example(prepare=_bare, name="bare")]


def writer() -> list[Example]:
    """Return the one case: the kit's own measurement."""
    return [Example(prepare=_bare)]


def _full(folder: Path) -> Mapping[str, Any]:
    generator = torch.Generator().manual_seed(0)
    reference = Image(data=torch.rand(2, 5, 7, generator=generator), voxel_size=(1.0, 1.5, 4.0), metadata={"coils": 3})
    measurement = Measurement(
        data=torch.randn(2, 3, 5, 7, generator=generator, dtype=torch.complex64),
        operator_config={"use": "fourier", "mask": torch.arange(7) % 2 == 0},
        reference=reference,
        dims=("z", "y", "x"),
        notes=("synthetic",),
    )
    return _written(measurement, folder)


def _bare(folder: Path) -> Mapping[str, Any]:
    return _written(Measurement(data=torch.arange(24.0).reshape(2, 1, 3, 4)), folder)


def _written(measurement: Measurement, folder: Path) -> Mapping[str, Any]:
    path = folder / "measurement.h5"
    MeasurementWriter().write(measurement, path)
    return {"path": path}
