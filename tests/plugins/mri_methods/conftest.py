"""Coils, phantoms and a fully sampled brain for tests of MRI methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import recon
from recon.kspace import fft_centred

COMPLEX = torch.complex128


@pytest.fixture(scope="session")
def phantom():
    def make(height: int, width: int, batch: int = 1) -> Tensor:
        """Return a smooth and a sharp structure with a slowly varying phase, others in each item."""
        y = torch.linspace(-1, 1, height, dtype=torch.float64)[:, None]
        x = torch.linspace(-1, 1, width, dtype=torch.float64)
        items = []
        for i in range(batch):
            size = 1.0 * ((x / 0.7) ** 2 + (y / (0.85 - 0.1 * i)) ** 2 < 1).double()
            size = size - 0.6 * ((x - 0.2) ** 2 + (y + 0.3) ** 2 < 0.05) + 0.5 * (abs(x + 0.2) + abs(y - 0.3) < 0.2)
            items.append(torch.polar(size, (0.5 * x + 0.4 * y * x + 0.3 * i).expand_as(size)))
        return torch.stack(items)[:, None]

    return make


@pytest.fixture(scope="session")
def coil_maps():
    def make(coils: int, height: int, width: int) -> Tensor:
        """Return the sensitivities of coils on a ring, of sum of squares 1."""
        operator = recon.build("operator", "multicoil_fourier", maps={"coils": coils})
        return operator.maps_for(torch.zeros(1, 1, height, width, dtype=COMPLEX))[0, 0]

    return make


@pytest.fixture(scope="session")
def brain(shared_data: Path) -> Tensor:
    """k-space (1, 7, 256, 216) of a brain, sampled in full."""
    with np.load(shared_data / "mri_kspace" / "moco_brain7" / "brain_slice.npz") as stored:
        images = torch.from_numpy(stored["arr_0"])
    return fft_centred(images.movedim(-1, 0)[None].contiguous())
