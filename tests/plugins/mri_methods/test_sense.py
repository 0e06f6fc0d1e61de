"""SENSE methods against closed forms, sigpy and one another."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import recon
from recon.iteration import Stop
from recon.kspace import fft_centred
from recon_plugins.mri_methods import CGSense, L1Wavelet, RootSumOfSquares, TVSense
from recon_plugins.mri_methods.sense import combined

COLUMNS = {"kind": "equispaced", "acceleration": 2, "center_fraction": 0.25}


@pytest.fixture(scope="module")
def small(coil_maps, phantom):
    """A noisy measurement of two items by four coils, its operator and the images."""
    maps = coil_maps(4, 20, 24)
    operator = recon.build("operator", "multicoil_fourier", maps=maps, mask=COLUMNS)
    x = phantom(20, 24, 2)
    y = operator(x)
    noise = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(3))
    return y + 0.01 * (y != 0) * noise, operator, x


@pytest.fixture(scope="module")
def sigpy():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("sigpy", reason="sigpy is not installed")
        from sigpy.mri import app
    return app


def test_rss_is_that_of_the_coil_images(coil_maps, phantom) -> None:
    images = coil_maps(4, 12, 15) * phantom(12, 15, 2)
    operator = recon.build("operator", "fourier")
    torch.testing.assert_close(RootSumOfSquares()(fft_centred(images), operator), phantom(12, 15, 2).abs())


@pytest.mark.parametrize("damping", [0.0, 0.05])
def test_cg_sense_solves_the_normal_equations(small, damping) -> None:
    y, operator, x = small
    matrix = operator.matrix(like=x[:1]).numpy()
    right = matrix.conj().T @ y.reshape(2, -1).T.numpy()
    gram = matrix.conj().T @ matrix + damping * np.eye(matrix.shape[1])
    expected = torch.from_numpy(np.linalg.solve(gram, right).T).reshape(x.shape)
    method = CGSense(damping=damping, iterations=60)
    result = method(y, operator)
    torch.testing.assert_close(result, expected, atol=1e-8, rtol=0)
    # The result minimises what the states call the objective.
    best = method.objective(result, y, operator)
    assert (method.objective(result + 1e-3 * x, y, operator) > best).all()


@pytest.mark.parametrize("damping", [0.0, 0.05])
def test_cg_sense_takes_sigpys_steps(small, sigpy, damping) -> None:
    y, operator, _ = small
    ours = CGSense(damping=damping, iterations=7)(y, operator)
    for item, k in zip(ours, y, strict=True):
        theirs = sigpy.SenseRecon(k.numpy(), operator.maps.numpy(), lamda=damping, max_iter=7, show_pbar=False).run()
        np.testing.assert_allclose(item[0].numpy(), theirs, atol=1e-6 * abs(theirs).max())


def test_cg_sense_stops_each_item_by_itself(small) -> None:
    y, operator, _ = small
    y = y * torch.tensor([1.0, 100.0])[:, None, None, None]
    method = CGSense(stop=Stop(change=1e-2), iterations=50)
    states = list(method.iterate(y, operator))
    assert 3 < states[-1].iteration < 50
    torch.testing.assert_close(method(y, operator)[1:], method(y[1:], operator))


def test_callback_ends_and_start_goes_on(small) -> None:
    y, operator, _ = small
    seen = []
    x = CGSense(iterations=9)(y, operator, callback=lambda state: seen.append(state.iteration) or state.iteration == 4)
    assert seen == [0, 1, 2, 3, 4]
    torch.testing.assert_close(x, CGSense(iterations=4)(y, operator))
    warm = CGSense(iterations=1, start=CGSense(iterations=40))(y, operator)
    torch.testing.assert_close(warm, CGSense(iterations=60)(y, operator), atol=1e-6, rtol=0)


def centred(transform, a):
    return np.fft.fftshift(transform(np.fft.ifftshift(a, (-2, -1)), norm="ortho"), (-2, -1))


@pytest.mark.filterwarnings("ignore:Level value")
def test_l1_wavelet_reaches_the_optimum_of_an_independent_ista(small) -> None:
    """PyWavelets, numpy's FFT and plain ISTA, with 20 rows continued to 24, against the method without shifts."""
    pywt = pytest.importorskip("pywt", reason="PyWavelets is not installed")
    y, operator, _ = small
    y, maps, mask = y[:1], operator.maps.numpy(), operator.mask_for((20, 24)).numpy()
    weight, measured = 0.05, y[0].numpy()
    x = np.zeros((24, 24), dtype=complex)
    for _ in range(400):
        r = np.where(mask, measured - centred(np.fft.fft2, maps * x[:20]), 0)
        x[:20] += (maps.conj() * centred(np.fft.ifft2, r)).sum(0)
        approximation, *details = pywt.wavedec2(x, "db2", mode="periodization", level=3)
        shrunk = [tuple(d * np.maximum(0, 1 - weight / np.maximum(abs(d), 1e-30)) for d in level) for level in details]
        x = pywt.waverec2([approximation, *shrunk], "db2", mode="periodization")
    method = L1Wavelet(weight=weight, scale=1.0, wavelet="db2", levels=3, shifts=False, iterations=150)
    ours = method(y, operator)
    np.testing.assert_allclose(ours[0, 0].numpy(), x[:20], atol=1e-3)
    # The penalty counts: the solution of least squares is another.
    assert abs(CGSense(iterations=60)(y, operator)[0, 0].numpy() - x[:20]).max() > 0.05


def test_l1_wavelet_raises_a_step_that_is_too_long(small, monkeypatch) -> None:
    """From a norm ten times too small the same optimum is reached, and the objective ends no higher."""
    from recon_plugins.mri_methods import l1_wavelet

    y, operator, _ = small
    method = L1Wavelet(weight=0.05, scale=1.0, levels=2, shifts=False, iterations=80)
    expected = method(y, operator)
    squared_norm = l1_wavelet.squared_norm
    monkeypatch.setattr(l1_wavelet, "squared_norm", lambda *a, **k: 0.1 * squared_norm(*a, **k))
    torch.testing.assert_close(method(y, operator), expected, atol=1e-3, rtol=0)


def test_weights_do_not_depend_on_units(small) -> None:
    y, operator, _ = small
    for method in (L1Wavelet(weight=0.01, iterations=10), TVSense(weight=0.01, iterations=10)):
        x = method(y, operator)
        torch.testing.assert_close(method(1e-6 * y, operator), 1e-6 * x, atol=1e-13, rtol=1e-6)
        absolute = method.__class__(weight=0.01 * 1e-6, scale=1.0, iterations=10)
        assert not torch.allclose(absolute(y, operator), x)


@pytest.mark.parametrize("solver", ["pdhg", "tv"])
def test_tv_sense_minimises_its_objective(small, sigpy, solver) -> None:
    """Both solvers reach the objective of a long run of the other, and no image by sigpy has a lower one."""
    y, operator, _ = small
    y = y[:1]
    reference = recon.build("method", "tv", weight=0.03, iterations=60)
    best = reference.objective(reference(y, operator), y, operator)
    x = TVSense(weight=0.03, scale=1.0, solver=solver, iterations=150)(y, operator)
    torch.testing.assert_close(reference.objective(x, y, operator), best, rtol=0.01, atol=0)
    for item, k in enumerate(y):
        app = sigpy.TotalVariationRecon(k.numpy(), operator.maps.numpy(), 0.03, max_iter=60, show_pbar=False)
        theirs = torch.from_numpy(app.run())[None, None]
        assert reference.objective(theirs, y[item : item + 1], operator) > 1.01 * best[item]


def test_maps_are_estimated_from_the_data_or_from_calibration_data(coil_maps, phantom) -> None:
    maps, x = coil_maps(5, 48, 40), phantom(48, 40, 2)
    k = fft_centred(maps * x)
    mask = {"kind": "equispaced", "acceleration": 2, "center_fraction": 0.4}
    coils = recon.build("operator", "fourier", mask=mask)
    y = torch.where(coils.mask_for((48, 40)), k, 0)
    without_centre = torch.zeros(40, dtype=torch.bool)
    without_centre[::2] = True
    sparse = recon.build("operator", "fourier", mask=without_centre)
    for method in (CGSense(), L1Wavelet(iterations=30, weight=1e-3), TVSense(iterations=40, weight=1e-3)):
        given = method(y, recon.build("operator", "multicoil_fourier", maps=maps, mask=mask))
        found = method(y, coils)
        assert found.shape == x.shape
        # Estimated maps have another phase, and lie on the object only.
        inside = x.abs() > 0
        error = (found.abs() - given.abs())[inside].norm() / given.abs()[inside].norm()
        assert error < 0.03
        calibrated = method.with_calibration(y)(torch.where(without_centre, k, 0), sparse)
        assert (calibrated.abs() - x.abs())[inside].norm() / x.abs()[inside].norm() < 0.15


def test_several_sets_are_combined_where_they_were_estimated(coil_maps, phantom) -> None:
    """Two sets whose images add up to coil images: their root sum of squares is that of the coils."""
    one, x = coil_maps(4, 24, 20), phantom(24, 20)
    other = one.roll(1, 0) - (one.conj() * one.roll(1, 0)).sum(0) * one
    other = other / other.norm(dim=0)
    sets = torch.stack([one, other])[None]
    images = torch.cat([x, 0.3 * x.flip(3)], 1)

    class Given:
        def __call__(self, y, operator):
            return sets

    coils = recon.build("operator", "fourier")
    y = fft_centred((sets[0] * images[0][:, None]).sum(0, keepdim=True))
    method = CGSense(maps=Given(), iterations=10)
    expected = images.abs().square().sum(1, keepdim=True).sqrt()
    result = method(y, coils)
    torch.testing.assert_close(result.abs(), expected, atol=1e-8, rtol=1e-6)
    inside = x.abs() > 0.1
    torch.testing.assert_close(result.angle()[inside], x.angle()[inside], atol=1e-7, rtol=0)
    assert combined(x) is x
    # An operator that brings its sets keeps their images apart.
    apart = CGSense(iterations=10)(y, coils.with_maps(sets))
    torch.testing.assert_close(apart, images, atol=1e-8, rtol=1e-6)


def test_volumes(coil_maps, phantom) -> None:
    maps = coil_maps(4, 16, 12)[:, None].expand(-1, 5, -1, -1)
    x = phantom(16, 12)[:, :, None] * torch.linspace(0.5, 1.5, 5, dtype=torch.float64)[:, None, None]
    mask = torch.zeros(5, 1, 12, dtype=torch.bool)
    mask[::2, :, ::2] = True
    mask[1:4, :, 3:9] = True
    operator = recon.build("operator", "multicoil_fourier", maps=maps, mask=mask, dimensions=3)
    y = operator(x)
    zero_filled = (operator.adjoint(y) - x).norm()
    for method in (CGSense(), L1Wavelet(weight=1e-3, levels=2), TVSense(weight=1e-3)):
        assert (method(y, operator) - x).norm() < 0.5 * zero_filled
