"""Real radial data: a phantom of 17 coils and 33 spokes, and the trajectory of a liver scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import recon
from recon.operators import LinearOperator

pytest.importorskip("finufft")
from recon_plugins.nufft import NUFFT, DensityCG, Gridding, pipe_density, voronoi_density

# Spoke n lies at 2 pi n / 33 and is read from +k to -k, with twice the samples that 128 pixels need.
PHANTOM = {"kind": "radial", "spokes": 33, "samples": 256, "angles": "full_turn", "reverse": True}


@pytest.fixture(scope="module")
def phantom(shared_data: Path) -> tuple[Tensor, NUFFT]:
    """The transversal slice, (1, coil, spoke, sample), scaled to a largest value of 1, and its operator.

    The scan began at equilibrium: on the way to the steady state the signal falls to 40 % over the 33 spokes. Scaling
    them to equal energy about the centre undoes that; without, no image fits the data to better than 27 %.
    """
    folder = shared_data / "mri_kspace" / "radial_phantom17"
    data = np.load(folder / "meas_MID00208_FID07650_BEAT_3slc_GRE_Radial_33.npy", mmap_mode="r")[1]
    y = torch.from_numpy(np.ascontiguousarray(data.transpose(1, 0, 2)))[None]
    y = y / torch.linalg.vector_norm(y[..., 124:133], dim=(1, 3), keepdim=True)
    operator = recon.build("operator", "nufft", size=[128, 128], trajectory=PHANTOM)
    assert isinstance(operator, NUFFT)
    return y / y.abs().max(), operator


def residual(y: Tensor, operator: LinearOperator, x: Tensor) -> float:
    return float((operator(x) - y).norm() / y.norm())


def test_gridding_and_conjugate_gradients_show_the_phantom(phantom: tuple[Tensor, NUFFT]) -> None:
    y, operator = phantom
    gridded = Gridding(combine="none")(y, operator)
    least_squares = DensityCG(combine="none", density="none", iterations=12)(y, operator)
    # Noise, and spokes that contradict one another about the centre (delays of gradients), no image explains.
    assert residual(y, operator, least_squares) < residual(y, operator, gridded) < 0.15
    # What an image could explain is in A^H (A x - y), and conjugate gradients remove it.
    left = [float(operator.adjoint(operator(x) - y).norm()) for x in (least_squares, gridded)]
    assert left[0] < 0.2 * left[1]
    for coils in (gridded, least_squares):
        image = torch.linalg.vector_norm(coils[0], dim=0)
        image = image / torch.quantile(image, 0.99)
        # The bottle fills an ellipse below the centre, about 90 x 62 pixels; outside is noise and streaks.
        rows, columns = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
        inside = ((columns - 61) / 36) ** 2 + ((rows - 84) / 24) ** 2 < 1
        outside = ((columns - 61) / 54) ** 2 + ((rows - 84) / 42) ** 2 > 1
        assert float(image[inside].median()) > 3 * float(image[outside].median())


def test_more_steps_fit_better(phantom: tuple[Tensor, NUFFT]) -> None:
    y, operator = phantom
    left = [
        residual(y[:, :4], operator, DensityCG(combine="none", density="none", iterations=steps)(y[:, :4], operator))
        for steps in (1, 4, 12)
    ]
    assert left[2] < left[1] < left[0] < 1


def test_reading_the_spokes_the_other_way_turns_the_phantom(phantom: tuple[Tensor, NUFFT]) -> None:
    """By half a turn: the direction of the readout is part of the trajectory."""
    y, operator = phantom
    right = Gridding()(y, operator)
    turned = Gridding()(y, operator.with_(trajectory=PHANTOM | {"reverse": False}))
    flipped = torch.flip(right, (-2, -1)).roll((1, 1), (-2, -1))
    assert float((turned - flipped).norm() / right.norm()) < 0.05 < float((turned - right).norm() / right.norm())


@pytest.fixture(scope="module")
def liver(shared_data: Path) -> Tensor:
    """The trajectory of 96 golden-angle spokes of 512 samples, (spoke, sample, 2), which reaches +128 itself."""
    return torch.from_numpy(np.load(shared_data / "mri_kspace" / "sigpy_brain8" / "projection_coord.npy"))


def test_an_image_measured_along_the_liver_scan_comes_back(liver: Tensor, shared_data: Path) -> None:
    data = np.load(shared_data / "mri_kspace" / "sigpy_brain8" / "cartesian_ksp.npy")
    fourier = recon.build("operator", "fourier")
    coils = fourier.adjoint(torch.from_numpy(data)[None, :, 50:178, 26:154])  # a brain of 128 x 128 pixels
    operator = NUFFT(size=(128, 128), trajectory=liver / 2)
    y = operator(coils)
    scale = float(coils.norm())
    gridded = Gridding(combine="none")(y, operator)
    iterated = DensityCG(combine="none", iterations=15)(y, operator)
    assert float((iterated - coils).norm()) < 0.85 * float((gridded - coils).norm()) < 0.05 * scale
    assert residual(y, operator, iterated) < 0.02


def test_densities_agree_on_the_liver_scan(liver: Tensor) -> None:
    k = liver[:, ::4] / 4  # for 64 pixels the spokes are dense enough
    pipe, voronoi = pipe_density(k, (64, 64)), voronoi_density(k)
    radius = k.norm(dim=-1)
    ratio = (pipe / voronoi)[(radius > 4) & (radius < 28)]
    assert float(ratio.median()) == pytest.approx(1, abs=0.02) and float(ratio.std()) < 0.15
