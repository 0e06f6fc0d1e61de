"""SigPy's operators and apps through recon, against SigPy called directly and against recon's own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

import recon
from recon.errors import MissingDependencyError, ParameterError, UsageError
from recon.kspace import fft_centred, ifft_centred
from recon_plugins.sigpy import (
    FFT,
    NUFFT,
    PoissonDisc,
    RadialTrajectory,
    Sense,
    SpiralTrajectory,
    wrap,
)

sp = pytest.importorskip("sigpy", reason="needs SigPy")
mr = pytest.importorskip("sigpy.mri")

SIZE = (24, 26)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


def birdcage(coils: int = 6) -> Tensor:
    return recon.build("operator", "multicoil_fourier", maps={"coils": coils}).maps.maps(SIZE, dtype=torch.complex128)


def head() -> Tensor:
    """A smooth object with a phase, that fills the middle of the image."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n, dtype=torch.float64) for n in SIZE), indexing="ij")
    inside = torch.sigmoid(30 * (0.7 - (x**2 + 1.3 * y**2).sqrt()))
    return torch.polar(inside * (1 + 0.5 * torch.cos(5 * x + 2 * y)), 0.8 * x)[None, None]


def distance(a: Tensor, b: Tensor) -> float:
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


def test_cartesian_operators_are_ours() -> None:
    mask = torch.rand(SIZE, generator=torch.Generator().manual_seed(0)) < 0.4
    x = random(2, 3, *SIZE)
    theirs, ours = FFT(size=SIZE, mask=mask), recon.build("operator", "fourier", mask=mask)
    assert distance(theirs(x), ours(x)) < 1e-12
    maps = birdcage()
    sense = theirs.with_maps(maps[None])
    multicoil = ours.with_maps(maps)
    assert isinstance(sense, Sense)
    assert distance(sense(x[:, :1]), multicoil(x[:, :1])) < 1e-12


def test_nufft_is_the_direct_sum() -> None:
    """By the definition, at the accuracy of a wide kernel; the factor is size^(-1/2)."""
    points = RadialTrajectory(spokes=5, samples=9).points(SIZE)
    theirs = NUFFT(size=SIZE, trajectory=points, oversamp=2.0, width=6.0)
    x = random(1, 2, *SIZE)
    y, z = (torch.arange(n, dtype=torch.float64) - n // 2 for n in SIZE)
    phase = points[..., 0, None, None] * y[:, None] / SIZE[0] + points[..., 1, None, None] * z / SIZE[1]
    wave = torch.exp(-2j * torch.pi * phase) / (SIZE[0] * SIZE[1]) ** 0.5
    expected = torch.einsum("srij,bcij->bcsr", wave, x)
    assert distance(theirs(x), expected) < 1e-4
    sense = theirs.with_maps(birdcage())
    assert distance(sense(x[:, :1]), torch.einsum("srij,cij,bij->bcsr", wave, birdcage(), x[:, 0])) < 1e-2


def test_named_trajectories_are_sigpys() -> None:
    radial = RadialTrajectory(spokes=7, samples=20, golden=False)
    assert np.array_equal(radial.points(SIZE).numpy(), mr.radial((7, 20, 2), SIZE, golden=False))
    assert RadialTrajectory().points((8, 9, 10)).shape == (64, 128, 3)
    spiral = SpiralTrajectory(field_of_view=200, interleaves=4, gradient=40, slew_rate=120).points((64, 64))
    assert np.allclose(spiral.numpy(), 0.2 * mr.spiral(0.2, 64, 1, 1, 4, 1, 0.04, 120))
    assert 31 < float(spiral.norm(dim=-1).max()) <= 32.5  # half of 64 cycles per field of view
    with pytest.raises(UsageError, match="square"):
        SpiralTrajectory().points(SIZE)
    with pytest.raises(UsageError, match="set golden"):
        radial.points((8, 8, 8))


def test_poisson_masks_are_sigpys() -> None:
    rule = PoissonDisc(acceleration=6, calibration=(16, 16), seed=3)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    mask = rule.mask((96, 80))
    assert np.array_equal(mask.numpy(), mr.poisson((96, 80), 6, (16, 16), seed=3) != 0)
    assert mask.numel() / int(mask.sum()) == pytest.approx(6, abs=0.1)
    assert bool(mask[41:55, 33:47].all())
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002
    operator = recon.build(
        "operator", {"use": "sigpy/FFT", "size": [96, 80], "mask": {"kind": "poisson", "acceleration": 6}}
    )
    assert int((operator(torch.ones(1, 1, 96, 80))[0, 0] != 0).sum()) <= int(operator.mask_for((96, 80)).sum())
    with pytest.raises(UsageError, match="accel"):
        PoissonDisc(acceleration=200.0, calibration=(24, 24)).mask((32, 32))


def test_any_linop_of_theirs() -> None:
    linop = sp.linop.Resize((3, 5), (4, 4)) * sp.linop.Flip((4, 4), axes=(0,))
    operator = wrap(linop)
    x = torch.randn(2, 4, 4, dtype=torch.float64, requires_grad=True)
    y = operator(x)
    assert np.array_equal(y[1].detach().numpy(), linop(x[1].detach().numpy()))
    (gradient,) = torch.autograd.grad(y.square().sum() / 2, x)
    assert torch.allclose(gradient, operator.adjoint(y.detach()))


@pytest.mark.parametrize("operator", ["cartesian", "radial"])
def test_sense_is_least_squares(operator: str) -> None:
    maps, truth = birdcage(), head()
    if operator == "cartesian":
        mask = torch.zeros(SIZE[1], dtype=torch.bool)
        mask[::2] = mask[10:16] = True
        sampled = recon.build("operator", "multicoil_fourier", maps=maps, mask=mask)
    else:
        sampled = Sense(maps=maps, trajectory={"kind": "radial", "spokes": 40, "samples": 20})
    y = sampled(truth)
    x = recon.build("method", "sigpy/SenseRecon", iterations=60, damping=1e-6)(y, sampled)
    assert distance(x, sampled.pinv(y, iterations=60, damping=1e-6)) < 1e-3
    assert distance(x, truth) < 2e-2


def test_sense_is_sigpys() -> None:
    mask = torch.zeros(SIZE[1], dtype=torch.bool)
    mask[::3] = mask[9:17] = True
    coils = recon.build("operator", "fourier", mask=mask)
    y = coils(birdcage() * head()) + 0.01 * random(1, 6, *SIZE) * mask
    calibration = {"use": "sigpy/EspiritCalib", "width": 8, "kernel": 4, "crop": 0.5}
    maps = recon.build("method", calibration)(y, coils)
    direct = mr.app.EspiritCalib(y[0].numpy(), calib_width=8, kernel_width=4, crop=0.5, show_pbar=False).run()
    assert np.allclose(maps[0].numpy(), direct)
    for name, app, arguments, theirs in (
        ("SenseRecon", mr.app.SenseRecon, {"damping": 0.01}, {"lamda": 0.01}),
        ("L1WaveletRecon", mr.app.L1WaveletRecon, {"weight": 0.01}, {"lamda": 0.01}),
        ("TotalVariationRecon", mr.app.TotalVariationRecon, {"weight": 0.01}, {"lamda": 0.01}),
    ):
        method = recon.build("method", f"sigpy/{name}", maps=calibration, iterations=20, **arguments)
        x = method(y, coils)
        expected = app(
            y[0].numpy(),
            direct,
            weights=mask.double().expand(SIZE).numpy(),
            max_iter=20,
            show_pbar=False,
            **theirs,
        ).run()
        # Their step size comes from power iteration of a random start.
        assert distance(x[0, 0], torch.from_numpy(expected)) < 2e-2, name


def test_jsense_finds_the_maps() -> None:
    coils = recon.build("operator", "fourier")
    maps = recon.build("method", "sigpy/JsenseRecon", kernel=8)(coils(birdcage() * head()), coils)
    inside = head()[0, 0].abs() > 0.3
    error = 1 - (maps[0].conj() * birdcage()).sum(0).abs()[inside]
    assert float(error.mean()) < 5e-3


def test_calibration_data_beside() -> None:
    coils = recon.build("operator", "fourier")
    y = coils(birdcage() * head())
    method = recon.build("method", "sigpy/EspiritCalib", width=12, kernel=4)
    assert torch.equal(method.with_calibration(y)(torch.randn_like(y), coils), method(y, coils))
    # Reconstruction hands it on; the image of other sensitivities is another one.
    mask = torch.zeros(SIZE[1], dtype=torch.bool)
    mask[::2] = True
    sampled = recon.build("operator", "fourier", mask=mask)
    sense = recon.build("method", "sigpy/SenseRecon", maps={"use": "espirit", "kernel": 4, "width": 12, "crop": 0.5})
    with pytest.raises(UsageError, match="centre of k-space was not sampled"):
        sense(sampled(ifft_centred(y)), sampled)
    x = sense.with_calibration(y)(sampled(ifft_centred(y)), sampled)
    assert distance(x.abs(), head().abs()) < 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NUFFT(size=SIZE, trajectory=torch.full((5, 2), 40.0)), "cycles per field of view"),
        (lambda: NUFFT(size=SIZE, trajectory=torch.zeros(5, 3)), "trajectory"),
        (lambda: Sense(maps=birdcage(), mask=[1], trajectory=[[0.0, 0.0]]), "not both"),
        (lambda: Sense(maps=torch.zeros(3)), r"\(coil, \*space\)"),
        (lambda: Sense(maps=birdcage())(torch.zeros(1, 1, 9, 9)), "not data of shape"),
        (lambda: FFT(size=SIZE).with_maps(birdcage().expand(2, -1, -1, -1)), "all items"),
    ],
)
def test_bad_input(make, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_unknown_settings_are_named() -> None:
    with pytest.raises(ParameterError, match=r"trajectory\.kind"):
        recon.build("operator", "sigpy/NUFFT", size=SIZE, trajectory={"kind": "rosette"})
    with pytest.raises(ParameterError, match=r"mask\.accel"):
        recon.build("operator", "sigpy/FFT", size=SIZE, mask={"kind": "poisson", "accel": 3})


def test_apps_refuse_other_operators() -> None:
    blur = recon.build("operator", "gaussian_blur", size=SIZE, sigma=1.0)
    with pytest.raises(UsageError, match="Fourier operators of coils"):
        recon.build("method", "sigpy/SenseRecon")(torch.zeros(1, 1, *SIZE), blur)
    radial = NUFFT(size=SIZE, trajectory={"kind": "radial", "spokes": 9, "samples": 9})
    with pytest.raises(UsageError, match="take espirit"):
        recon.build("method", "sigpy/EspiritCalib")(torch.zeros(1, 2, 9, 9), radial)


def test_two_sets_of_maps_are_refused() -> None:
    y = fft_centred(random(1, 6, *SIZE))
    method = recon.build("method", "sigpy/SenseRecon", maps={"use": "espirit", "sets": 2})
    with pytest.raises(UsageError, match="one set of maps"):
        method(y, recon.build("operator", "fourier"))


def test_absent_library_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "sigpy" else find(name, *rest))
    with pytest.raises(MissingDependencyError, match="sigpy") as error:
        recon.build("operator", "sigpy/FFT", size=SIZE)
    assert "\n" not in str(error.value)


def test_declared_and_built_without_the_library() -> None:
    """Neither listing the plugin nor building an operator imports SigPy, which takes seconds."""
    code = (
        "import sys, recon; recon.build('operator', 'sigpy/FFT', size=[8, 8]);"
        "recon.build('method', 'sigpy/SenseRecon'); assert 'sigpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
