"""Plug-and-play: exact proximal maps give closed forms; noise levels; published weights on a clinical slice."""

import math

import numpy as np
import pytest
import torch

import recon
from recon.errors import ParameterError, UsageError
from recon.solvers import squared_norm
from recon_plugins.plug_and_play import PlugAndPlay

RADON = {"use": "radon", "size": [8, 7], "angles": 9, "pixel": 0.7, "backend": "sparse"}
COILS = {"use": "multicoil_fourier", "maps": {"coils": 3}, "mask": [1, 0, 1, 1, 0, 1, 0]}


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


class Linear:
    """A denoiser that is a symmetric matrix: x -> M x."""

    def __init__(self, matrix):
        self.matrix = matrix

    def __call__(self, y, operator):
        assert torch.equal(operator(y), y)
        return (y.flatten(1) @ self.matrix.to(y).T).reshape(y.shape)


def problem(config, size=(8, 7)):
    """Operator, its matrix, a measurement, |A|^2 as the method estimates it, and a quadratic prior |G x|^2 / 2."""
    operator = recon.build("operator", config)
    matrix = operator.matrix(like=randn(1, 1, *size, dtype=torch.complex128) if config is COILS else None)
    x = randn(2, 1, *size, dtype=matrix.dtype)
    y = operator(x) + 0.1 * randn(*operator(x).shape, seed=1, dtype=matrix.dtype)
    squared = float(squared_norm(operator.normal, x)[0])
    count = math.prod(size)
    prior = 0.3 * squared * (torch.eye(count) + torch.diag(torch.full((count - 1,), -0.4), 1)).double()
    return operator, matrix, y, squared, prior @ prior.T / squared


def solution(matrix, y, prior):
    normal = matrix.mH @ matrix
    return torch.linalg.solve(normal + prior.to(normal), matrix.mH @ y.flatten(1).T).T.reshape(2, 1, 8, 7)


@pytest.mark.parametrize("config", [RADON, COILS])
@pytest.mark.parametrize(
    ("algorithm", "weight", "iterations"), [("admm", 0.05, 40), ("admm", 0.2, 60), ("proximal_gradient", 1.05, 300)]
)
def test_exact_proximal_map_gives_the_regularised_solution(config, algorithm, weight, iterations):
    operator, matrix, y, squared, prior = problem(config)
    rho = weight * squared
    proximal = torch.linalg.inv(torch.eye(56).double() + prior / rho)
    method = PlugAndPlay(
        denoiser=Linear(proximal), algorithm=algorithm, weight=weight, iterations=iterations, inner_iterations=40
    )
    torch.testing.assert_close(method(y, operator), solution(matrix, y, prior), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("config", [RADON, COILS])
@pytest.mark.parametrize("algorithm", ["red", "hqs"])
def test_red_and_half_quadratic_splitting_meet_at_reds_equation(config, algorithm):
    """A^H (A x - y) + rho (x - D x) = 0; with a constant level both iterate the same map."""
    operator, matrix, y, squared, prior = problem(config)
    rho = 0.3 * squared
    denoise = torch.linalg.inv(torch.eye(56).double() + prior / rho)
    method = PlugAndPlay(denoiser=Linear(denoise), algorithm=algorithm, weight=0.3, iterations=80, inner_iterations=40)
    expected = solution(matrix, y, rho * (torch.eye(56).double() - denoise))
    if algorithm == "hqs":  # shows the denoised image
        expected = Linear(denoise)(expected, recon.build("operator", "gaussian_noise", sigma=0.0).noiseless)
    torch.testing.assert_close(method(y, operator), expected, rtol=1e-3, atol=1e-4)


def test_total_variation_as_the_denoiser_is_total_variation():
    operator, _, y, squared, _ = problem(RADON)
    exact = recon.build("method", "tv", weight=1.5, iterations=150)
    tv = {"use": "tv", "weight": 1.5 / (0.05 * squared), "iterations": 6, "inner_iterations": 15}
    method = recon.build("method", "plug_and_play", denoiser=tv, weight=0.05, iterations=25)
    found, best = method(y, operator), exact(y, operator)
    torch.testing.assert_close(found, best, atol=0.03, rtol=0)
    assert float(exact.objective(found, y, operator).sum()) <= float(exact.objective(best, y, operator).sum()) * 1.003


class Told:
    """A denoiser that notes the levels it is told, and does nothing."""

    def __init__(self, levels=()):
        self.levels = levels

    def at(self, level):
        self.levels.append(level)
        return lambda y, operator: y


def test_levels_fall_evenly_in_the_logarithm_and_the_weight_rises(monkeypatch):
    operator, _, y, squared, _ = problem(RADON)
    weights = []
    original = PlugAndPlay._data_step

    def data_step(self, problem, z, rho, x):
        weights.append(float(rho.flatten()[0]) / squared)
        return original(self, problem, z, rho, x)

    monkeypatch.setattr(PlugAndPlay, "_data_step", data_step)
    denoiser = Told([])
    PlugAndPlay(denoiser=denoiser, algorithm="hqs", weight=0.4, sigma=(0.16, 0.01), iterations=5)(y, operator)
    assert denoiser.levels == pytest.approx([0.16, 0.08, 0.04, 0.02, 0.01])
    assert weights == pytest.approx([0.4 / 256, 0.4 / 64, 0.4 / 16, 0.4 / 4, 0.4], rel=1e-4)
    denoiser = Told([])
    PlugAndPlay(denoiser=denoiser, sigma=0.03, iterations=2)(y, operator)
    assert set(denoiser.levels) == {0.03}


def test_constraint_start_and_callback():
    operator, _, y, *_ = problem(RADON)
    blind = Linear(torch.eye(56))
    states = []
    first = randn(2, 1, 8, 7)
    x = PlugAndPlay(denoiser=blind, constraint="nonnegative", iterations=3)(
        y, operator, x0=first, callback=states.append
    )
    assert float(x.min()) == 0
    assert len(states) == 4
    torch.testing.assert_close(states[0].x, first.clamp(min=0))
    assert float(states[-1].residual.sum()) < float(states[0].residual.sum())


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"algorithm": "proximal_gradient", "weight": 0.5}, "diverge"),
        ({"sigma": [0.1, 0.01]}, "hqs"),
        ({"sigma": 0.1}, "noise_level"),
    ],
)
def test_what_cannot_be_is_refused(params, message):
    with pytest.raises((UsageError, ParameterError), match=message):
        recon.build("method", "plug_and_play", denoiser={"use": "tv", "weight": 0.1}, **params)


def clinical(shared_data, factor):
    """A clinical slice in 1/mm, smaller by a factor, and its pixel in mm."""
    image = recon.read(shared_data / "ct_images" / "ct100_dicom" / "ID_0070_AGE_0074_CONTRAST_0_CT.dcm")
    hu = image.data.float().reshape(1, 1, 512, 512).clamp(-1000, 3000)
    pixel = float(np.linalg.norm(image.affine[:3, 0]))
    return 0.0192 * (1 + torch.nn.functional.avg_pool2d(hu, factor) / 1000), factor * pixel


@pytest.mark.slow
def test_published_denoiser_on_a_clinical_slice_from_60_views(shared_data):
    """DnCNN, trained on photographs with one level of noise, beats FBP by 2 dB and comes near to total variation."""
    image, pixel = clinical(shared_data, 4)
    operator = recon.build("operator", "radon", size=image.shape[-2:], angles=60, pixel=pixel)
    noise = recon.build("operator", "gaussian_noise", sigma=0.02)
    y = noise(operator(image), generator=torch.Generator().manual_seed(0))
    psnr = recon.build("metric", "psnr", data_range=0.0384)
    method = recon.build(
        "method",
        "plug_and_play",
        denoiser={
            "use": "denoiser",
            "model": {"use": "dncnn", "batch_norm": False},
            "weights": str(shared_data / "weights" / "dncnn_kair" / "dncnn_25.pth"),
            "noise_level": 25 / 255,
            "value_range": [0, 0.0384],
        },
        algorithm="red",
        sigma=0.05,
        weight=0.003,
        iterations=8,
        start="fbp",
        constraint="nonnegative",
    )
    tv = recon.build("method", "tv", weight=0.3, iterations=50, constraint="nonnegative")
    values = {
        "fbp": max(
            float(psnr(recon.build("method", "fbp", filter=f)(y, operator), image)) for f in ("ram-lak", "hann")
        ),
        "tv": float(psnr(tv(y, operator), image)),
        "plug_and_play": float(psnr(method(y, operator), image)),
    }
    assert values["plug_and_play"] > values["fbp"] + 2, values
    assert values["plug_and_play"] > values["tv"] - 1.2, values
