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
    return [
        Example(prepare=lambda folder: _written(_full(), folder), name="full"),
        Example(prepare=lambda folder: _written(_bare(), folder), name="bare"),
    ]


def writer() -> list[Example]:
    """Return a full measurement and one with nothing but data."""
    return [
        Example(prepare=lambda _: {"image": _full()}, name="full"),
        Example(prepare=lambda _: {"image": _bare()}, name="bare"),
    ]


def _full() -> Measurement:
    generator = torch.Generator().manual_seed(0)
    reference = Image(data=torch.rand(2, 5, 7, generator=generator), voxel_size=(1.0, 1.5, 4.0), metadata={"coils": 3})
    return Measurement(
        data=torch.randn(2, 3, 5, 7, generator=generator, dtype=torch.complex64),
        calibration=torch.randn(2, 3, 5, 7, generator=generator, dtype=torch.complex64),
        crop=(5, 6),
        operator_config={"use": "fourier", "mask": torch.arange(7) % 2 == 0},
        reference=reference,
        dims=("z", "y", "x"),
        notes=("synthetic",),
    )


def _bare() -> Measurement:
    return Measurement(data=torch.arange(24.0).reshape(2, 1, 3, 4))


def _written(measurement: Measurement, folder: Path) -> Mapping[str, Any]:
    path = folder / "measurement.h5"
    MeasurementWriter().write(measurement, path)
    return {"path": path}
