"""SIRT, ordered subsets and SART against dense NumPy, scikit-image and ASTRA."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

import recon
from recon.errors import UsageError
from recon.iteration import Stop
from recon_plugins.iterative import CGLS, OSSIRT, SIRT
from recon_plugins.iterative.subsets import grouped_views


def dense_sirt(a, y, x, groups, iterations, relaxation=1.0, low=-np.inf, high=np.inf):
    """One or several subsets of rows: x <- P(x + relaxation C_s A_s^T R_s (y_s - A_s x))."""
    with np.errstate(divide="ignore"):
        for _ in range(iterations):
            for rows in groups:
                part = a[rows]
                r, c = 1 / part.sum(1), 1 / part.sum(0)
                r[~np.isfinite(r)] = c[~np.isfinite(c)] = 0
                x = np.clip(x + relaxation * c * (part.T @ (r * (y[rows] - part @ x))), low, high)
    return x


def relative(a, b) -> float:
    a, b = torch.as_tensor(a).double().flatten(), torch.as_tensor(b).double().flatten()
    return float((a - b).norm() / b.norm())


def test_sirt_equals_dense_algebra(small) -> None:
    s = small()
    rows = [np.arange(len(s.data))]
    x = dense_sirt(s.matrix, s.data, np.zeros(63), rows, 25)
    assert relative(SIRT(iterations=25)(s.y, s.operator), x) < 1e-12
    x = dense_sirt(s.matrix, s.data, np.full(63, 0.8), rows, 25, 1.7, 0.0, 0.8)
    method = SIRT(iterations=25, relaxation=1.7, constraint="nonnegative", upper=0.8)
    ours = method(s.y, s.operator, x0=torch.ones_like(s.x))
    assert relative(ours, x) < 1e-12
    assert (ours == 0.8).any()
    assert (ours == 0).any()


def test_sirt_lowers_its_objective_and_tends_to_weighted_least_squares(small) -> None:
    s = small(size=(5, 4))
    values = [float(state.objective) for state in SIRT(iterations=60, relaxation=1.9).iterate(s.y, s.dense)]
    assert all(b <= a for a, b in pairwise(values))
    rows = s.matrix.sum(1)
    root = np.where(rows > 0, 1 / np.sqrt(np.where(rows > 0, rows, 1)), 0)
    best = np.linalg.lstsq(root[:, None] * s.matrix, root * s.data, rcond=None)[0]
    assert relative(SIRT(iterations=3000, relaxation=1.9)(s.y, s.dense), best) < 1e-5


@pytest.mark.parametrize("subsets", [1, 4, "views"])
def test_ordered_subsets_equal_dense_algebra(small, subsets) -> None:
    s = small()
    bins = s.operator.sinogram_size[1]
    groups = grouped_views(s.operator.theta.tolist(), None if subsets == "views" else subsets)
    rows = [(np.array(group)[:, None] * bins + np.arange(bins)).ravel() for group in groups]
    x = dense_sirt(s.matrix, s.data, np.zeros(63), rows, 3, 0.7, 0.0)
    ours = OSSIRT(iterations=3, subsets=subsets, relaxation=0.7, constraint="nonnegative")(s.y, s.operator)
    assert relative(ours, x) < 1e-12
    if subsets == 1:
        sirt = SIRT(iterations=3, relaxation=0.7, constraint="nonnegative")(s.y, s.operator)
        assert relative(ours, sirt) < 1e-12


def test_column_sums_that_are_not_kept_change_nothing(small, monkeypatch) -> None:
    s = small()
    kept = OSSIRT(iterations=2, subsets=5)(s.y, s.operator)
    monkeypatch.setattr("recon_plugins.iterative.os_sirt.KEPT_BYTES", 0)
    assert torch.equal(OSSIRT(iterations=2, subsets=5)(s.y, s.operator), kept)


def test_subsets_spread_over_the_angles() -> None:
    angles = torch.rand(60, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3
    for count in (1, 7, 12, None):
        groups = grouped_views(angles.tolist(), count)
        assert sorted(view for group in groups for view in group) == list(range(60))
        sizes = [len(group) for group in groups]
        assert max(sizes) - min(sizes) <= 1
    order = [group[0] for group in grouped_views([i / 100 for i in range(100)], None)]
    jumps = [min(abs(a - b), 100 - abs(a - b)) for a, b in pairwise(order)]
    assert min(jumps) >= 30  # consecutive views differ by a third of the range and more
    # Views seen so far leave no gap much larger than an even spread would.
    for seen in (8, 13, 40):
        places = sorted(order[:seen])
        gaps = [b - a for a, b in pairwise([*places, places[0] + 100])]
        assert max(gaps) <= 2.7 * 100 / seen


def test_a_pass_of_subsets_gets_as_far_as_so_many_steps(small) -> None:
    s = small(size=(16, 16), angles=24, noise=0.0)
    ours = OSSIRT(iterations=3, subsets=8)(s.y, s.operator)
    assert relative(ours, s.x) < relative(SIRT(iterations=20)(s.y, s.operator), s.x)


def test_fan_beams_volumes_and_channels(dense) -> None:
    generator = torch.Generator().manual_seed(0)
    fan = recon.build("operator", "fan_beam", size=(8, 8), angles=20, source_distance=20.0, detector_distance=5.0)
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=generator)
    for method in (SIRT(iterations=100), OSSIRT(iterations=10, subsets="views")):
        result = method(fan(x), fan)
        assert relative(result, x) < 0.2
        torch.testing.assert_close(method(fan(x[1:, :1]), fan), result[1:, :1])
    matrix = torch.rand(40, 24, dtype=torch.float64, generator=generator)
    matrix = torch.where(matrix < 0.3, matrix, 0)
    volume = torch.rand(2, 1, 2, 3, 4, dtype=torch.float64, generator=generator)
    operator = dense(matrix, (1, 2, 3, 4))
    assert relative(SIRT(iterations=2000)(operator(volume), operator), volume) < 1e-3


def test_single_precision_and_complex_sinograms(small) -> None:
    s = small()
    method = SIRT(iterations=10)
    single = method(s.y.float(), s.operator)
    assert single.dtype == torch.float32
    assert relative(single, method(s.y, s.operator)) < 1e-5
    for method in (SIRT(iterations=10), OSSIRT(iterations=2, subsets=3)):
        both = method(torch.complex(s.y, 2 * s.y), s.operator)
        torch.testing.assert_close(both.imag, 2 * both.real)
        torch.testing.assert_close(both.real, method(s.y, s.operator))


def test_sart_equals_scikit_image() -> None:
    """It interpolates along the rays and orders the views otherwise, so that the images are near, not equal."""
    from skimage.transform import iradon_sart

    n = 33
    rows, columns = torch.meshgrid(torch.arange(n) - 16.0, torch.arange(n) - 16.0, indexing="ij")
    x = torch.exp(-((rows - 3) ** 2 + (columns + 4) ** 2) / 30) + 0.5 * torch.exp(-((rows + 5) ** 2 + columns**2) / 12)
    operator = recon.build("operator", "radon", size=(n, n), angles=45, bins=n)
    y = operator(x[None, None].double())
    theirs = None
    for _ in range(3):
        theirs = iradon_sart(y[0, 0].numpy().T, np.rad2deg(operator.theta.numpy()), image=theirs, relaxation=0.15)
    ours = OSSIRT(iterations=3, subsets="views", relaxation=0.15)(y, operator)[0, 0]
    disk = rows**2 + columns**2 < 15**2
    assert relative(ours[disk], x[disk]) < 0.1
    assert relative(ours[disk], torch.from_numpy(theirs)[disk]) < 0.04


def test_sirt_and_sart_equal_astra(small) -> None:
    astra = pytest.importorskip("astra", exc_type=ImportError)
    s = small(size=(16, 12), angles=15)
    views, bins = s.operator.sinogram_size
    vol = astra.create_vol_geom(16, 12, -6 * 0.3, 6 * 0.3, -8 * 0.3, 8 * 0.3)
    beam = astra.create_proj_geom("parallel", 0.3, bins, s.operator.theta.numpy())
    projector = astra.create_projector("linear", beam, vol)
    data = astra.data2d.create("-sino", beam, s.y[0, 0].numpy().astype(np.float32))
    groups = grouped_views(s.operator.theta.tolist(), None)
    for name, iterations, option, ours in (
        ("SIRT", 30, {}, SIRT(iterations=30)),
        ("SART", 2 * views, {"ProjectionOrder": "custom", "ProjectionOrderList": [g[0] for g in groups]},
         OSSIRT(iterations=2, subsets="views")),
    ):  # fmt: skip
        volume = astra.data2d.create("-vol", vol, 0)
        config = astra.astra_dict(name)
        config |= {"ProjectorId": projector, "ProjectionDataId": data, "ReconstructionDataId": volume, "option": option}
        algorithm = astra.algorithm.create(config)
        astra.algorithm.run(algorithm, iterations)
        assert relative(ours(s.y, s.operator), astra.data2d.get(volume)) < 1e-3, name
        astra.algorithm.delete(algorithm)
        astra.data2d.delete(volume)
    astra.data2d.delete(data)
    astra.projector.delete(projector)


@pytest.mark.parametrize(("cls", "params"), [(SIRT, {}), (CGLS, {}), (OSSIRT, {"subsets": 4})])
def test_discrepancy_principle_stops_at_the_noise(small, cls, params) -> None:
    s = small(size=(16, 16), angles=30, noise=0.2)
    method = cls(iterations=300, stop=Stop(noise=0.2), **params)
    states = list(method.iterate(s.y, s.operator))
    residuals = [float(state.residual) for state in states[-2:]]
    assert residuals[1] <= 0.2 * s.y.numel() ** 0.5 < residuals[0]
    # Going on fits the noise: in the end the image is worse.
    assert relative(states[-1].x, s.x) < relative(CGLS(iterations=300)(s.y, s.dense), s.x)


def test_what_cannot_be_is_refused_in_a_line(small) -> None:
    s = small()
    fourier = recon.build("operator", "fourier")
    blur = recon.build("operator", "gaussian_blur", size=(9, 7), sigma=1.0)
    k = fourier(s.x)
    cases = [
        ("nonnegative weights", lambda: SIRT()(k, fourier)),
        ("nonnegative weights", lambda: SIRT()(s.y, -1 * s.operator)),
        ("need an operator of views", lambda: OSSIRT()(s.x, blur)),
        ("13 subsets of 12 views: take at most 12", lambda: OSSIRT(subsets=13)(s.y, s.operator)),
        ("no upper bound", lambda: SIRT(upper=1.0)(s.y + 0j, s.operator)),
        ("not finite", lambda: SIRT()(s.y / 0, s.operator)),
    ]
    for message, call in cases:
        with pytest.raises(UsageError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
