"""Small cases for the conformance kit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recon.io import Measurement
from recon.testing import Example
from recon_datasets.ismrmrd.writer import ISMRMRDWriter

__all__ = ["reader", "writer"]


def reader() -> list[Example]:
    """Return slices with calibration lines, and a volume."""
    return [Example(prepare=_file(_slices), name="slices"), Example(prepare=_file(_volume), name="volume")]


def writer() -> list[Example]:
    """Return the same."""
    return [
        Example(prepare=lambda _: {"image": _slices()}, name="slices"),
        Example(prepare=lambda _: {"image": _volume()}, name="volume"),
    ]


def _file(make: Any) -> Any:
    def prepare(folder: Path) -> Mapping[str, Any]:
        ISMRMRDWriter().write(make(), folder / "scan.mrd")
        return {"path": folder / "scan.mrd"}

    return prepare


def _slices() -> Measurement:
    """Two repetitions of three slices, of which every other line was measured, and the central ones for calibration."""
    generator = torch.Generator().manual_seed(0)
    full = torch.randn(6, 2, 9, 12, generator=generator, dtype=torch.complex64)
    lines = torch.arange(9)[:, None] % 2 == 0
    central = (torch.arange(9)[:, None] - 4).abs() < 2
    return Measurement(
        data=torch.where(lines, full, 0),
        calibration=torch.where(central, full, 0),
        operator_config={"use": "fourier", "mask": lines},
        affine=np.array([[0, -1.5, 0, 10], [1.25, 0, 0, -20], [0, 0, 5, 30], [0, 0, 0, 1.0]]),
        dims=("repetition", "z", "y", "x"),
        batch=(2, 3),
        crop=(7, 12),
        metadata={"modality": "MR", "field_strength_T": 1.5},
    )


def _volume() -> Measurement:
    generator = torch.Generator().manual_seed(1)
    lines = torch.rand(4, 7, 1, generator=generator) < 0.6
    data = torch.randn(1, 3, 4, 7, 10, generator=generator, dtype=torch.complex64)
    return Measurement(
        data=torch.where(lines, data, 0),
        operator_config={"use": "fourier", "dimensions": 3, "mask": lines},
        affine=np.diag([2.0, -1.0, 3.0, 1.0]),
        dims=("z", "y", "x"),
    )
