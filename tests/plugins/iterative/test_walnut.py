"""The walnut of the Finnish Inverse Problems Society, a real fan-beam scan: Zenodo 1254206, CC BY 4.0."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import recon
from recon.iteration import Stop
from recon.operators import LinearOperator


def walnut(folder: Path, views: int, size: int, bins: int) -> tuple[torch.Tensor, LinearOperator]:
    """Return line integrals and operator, neighbouring bins averaged into so many."""
    from scipy.io import loadmat

    counts = loadmat(folder / "ct_projections" / "fips_walnut" / "walnut.mat")[f"sinogram{views}"].astype(np.float32)
    y = -np.log(counts / counts.max(0, keepdims=True))[::-1].T
    y = y.reshape(views, bins, -1).mean(2)
    operator = recon.build(
        "operator",
        "fan_beam",
        size=(size, size),
        pixel=42.0 / size,
        angles=[(-2 * math.pi * i / views - math.pi / 2) % (2 * math.pi) for i in range(views)],
        source_distance=110.0,
        detector_distance=190.0,
        bins=bins,
        bin_size=114.8 / bins,
        offset=-0.279,
    )
    assert isinstance(operator, LinearOperator)
    return torch.from_numpy(y.copy())[None, None], operator


def relative_residual(x: torch.Tensor, y: torch.Tensor, operator: LinearOperator) -> float:
    return float((operator(x) - y).norm() / y.norm())


def test_geometry_and_methods_on_few_pixels(shared_data: Path) -> None:
    y, operator = walnut(shared_data, 120, 164, 287)
    cgls = recon.build("method", "cgls", iterations=20)
    x = cgls(y, operator)
    assert relative_residual(x, y, operator) < 0.02
    centred = operator.with_(offset=0.0)
    assert relative_residual(cgls(y, centred), y, centred) > 0.03
    for config in (
        {"use": "sirt", "iterations": 40, "constraint": "nonnegative"},
        {"use": "os_sirt", "iterations": 4, "subsets": 12, "constraint": "nonnegative"},
        {"use": "pwls", "weight": 1.0, "photons": 1e4, "subsets": 10, "iterations": 5, "constraint": "nonnegative"},
        {"use": "pdhg", "weight": 0.002, "iterations": 60, "constraint": "nonnegative"},
    ):
        other = recon.build("method", config)(y, operator)
        assert relative_residual(other, y, operator) < 0.06, config
        assert float((other - x).norm() / x.norm()) < 0.35, config


@pytest.mark.slow
def test_full_scan_is_explained_to_a_hundredth(shared_data: Path) -> None:
    y, operator = walnut(shared_data, 1200, 328, 574)
    states = list(recon.build("method", "cgls", iterations=30, stop=Stop(residual=0.0118)).iterate(y, operator))
    assert float(states[-1].residual / y.norm()) <= 0.0118
    assert len(states) <= 31


@pytest.mark.slow
def test_a_tenth_of_the_views(shared_data: Path) -> None:
    """From 120 views, total variation comes nearest to what 1200 views give, then SIRT, then CGLS, then FBP."""
    reference = recon.build("method", "cgls", iterations=12)(*walnut(shared_data, 1200, 328, 574))
    y, operator = walnut(shared_data, 120, 328, 574)
    errors = {}
    for name, config in {
        "fbp": {"use": "fbp", "filter": "hann"},
        "cgls": {"use": "cgls", "iterations": 6},
        "sirt": {"use": "sirt", "iterations": 100, "constraint": "nonnegative"},
        "tv": {"use": "tv", "weight": 0.02, "iterations": 60, "constraint": "nonnegative"},
        "pdhg": {"use": "pdhg", "weight": 0.02, "iterations": 200, "constraint": "nonnegative"},
    }.items():
        x = recon.build("method", config)(y, operator)
        errors[name] = float((x - reference).norm() / reference.norm())
    assert errors["tv"] == pytest.approx(errors["pdhg"], rel=0.05)
    assert errors["tv"] < 0.11
    assert errors["tv"] < errors["sirt"] < errors["cgls"] < errors["fbp"]
