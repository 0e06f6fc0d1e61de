"""FBP of two real scans: a walnut in a fan beam, a tooth in a synchrotron's parallel beam."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import recon
from recon.io import Measurement
from recon_plugins.radon import FBP, FanBeamRadon, Radon, SparseViews


@pytest.fixture(scope="module")
def walnut(shared_data: Path) -> tuple[torch.Tensor, FanBeamRadon]:
    path = shared_data / "ct_projections" / "fips_walnut" / "walnut.mat"
    if not path.exists():
        pytest.skip("the walnut's projections are not here")
    scan = recon.build("reader", "fips", sinogram="sinogram1200", downsample=8).read(path)
    assert isinstance(scan, Measurement)
    config = dict(scan.operator_config)
    operator = recon.build("operator", config.pop("use"), **config)
    assert isinstance(operator, FanBeamRadon)
    return torch.as_tensor(scan.data).float(), operator


def residual(x: torch.Tensor, y: torch.Tensor, operator: Radon | FanBeamRadon) -> float:
    return float((operator(x) - y).norm() / y.norm())


def test_walnut(walnut: tuple[torch.Tensor, FanBeamRadon]) -> None:
    y, operator = walnut
    x = FBP()(y, operator)
    assert residual(x, y, operator) < 0.07
    unshifted = operator.with_(offset=0.0)
    assert residual(FBP()(y, unshifted), y, unshifted) > residual(x, y, operator) + 0.01
    # Shell and kernel attenuate; around the nut there is air.
    right, up = operator.grid.coordinates()
    r = torch.hypot(right, up[:, None])
    assert float(x[0, 0][(r > 19.5) & (r < 20.5)].mean()) == pytest.approx(0, abs=0.002)
    assert 0.03 < float(x.quantile(0.99)) < 0.06


def test_walnut_from_a_short_scan(walnut: tuple[torch.Tensor, FanBeamRadon]) -> None:
    """Half a turn and the fan give the picture of the full turn; without Parker's weights they do not."""
    y, operator = walnut
    whole = FBP(filter="hann")(y, operator)
    part = SparseViews(views=1200, index=list(range(680))) @ operator

    def distance(method: FBP) -> float:
        return float((method(y[:, :, :680], part) - whole).norm() / whole.norm())

    assert distance(FBP(filter="hann")) < 0.05
    assert distance(FBP(filter="hann", short_scan="none")) > 0.15


def test_walnut_from_every_tenth_view(walnut: tuple[torch.Tensor, FanBeamRadon]) -> None:
    """Streaks, but the same attenuation on average over every disk."""
    y, operator = walnut
    few = SparseViews(views=1200, every=10) @ operator
    whole, sparse = FBP()(y, operator), FBP()(y[:, :, ::10], few)
    assert sparse.std() > whole.std()
    blocks = torch.nn.functional.avg_pool2d(torch.cat([whole, sparse]), 41)
    assert float((blocks[0] - blocks[1]).abs().max()) < 0.03 * float(blocks.max())


def test_tooth(shared_data: Path) -> None:
    """Its axis lies 23.5 pixels off the detector's middle: there the picture agrees with the projections."""
    h5py = pytest.importorskip("h5py")
    path = shared_data / "ct_projections" / "tomopy_tooth" / "tooth.h5"
    if not path.exists():
        pytest.skip("the tooth's projections are not here")
    with h5py.File(path) as file:
        exchange = file["exchange"]
        counts, dark = exchange["data"][:, 0].astype(float), exchange["data_dark"][:, 0].mean(0)
        flat = exchange["data_white"][:, 0].mean(0)
        theta = np.deg2rad(exchange["theta"][:])
    y = torch.tensor(-np.log((counts - dark) / (flat - dark)), dtype=torch.float32)[None, None]
    y = torch.nn.functional.avg_pool2d(y, (1, 2))

    def scan(offset: float) -> Radon:
        return Radon(size=(320, 320), angles=theta.tolist(), pixel=2.0, bins=320, bin_size=2.0, offset=offset)

    residuals = {}
    for offset in (0.0, 19.5, 23.5, 27.5):
        operator = scan(offset)
        residuals[offset] = residual(FBP(filter="hann")(y, operator), y, operator)
    assert min(residuals, key=residuals.__getitem__) == 23.5
    assert residuals[23.5] < 0.5 * residuals[0.0]
