"""ESPIRiT against known maps, its definition and SigPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import recon
from recon.errors import UsageError
from recon.kspace import fft_centred, ifft_centred
from recon_plugins.calibration import Espirit
from recon_plugins.calibration.espirit import correlations, dominant

SIZE = (96, 80)


def head(size: tuple[int, ...] = SIZE, reach: float = 0.75) -> Tensor:
    """A smooth object with a phase and structure within an ellipse."""
    axes = [torch.linspace(-1, 1, n, dtype=torch.float64) for n in size]
    grid = torch.meshgrid(*axes, indexing="ij")
    radius = sum(a**2 for a in grid).sqrt()
    inside = torch.sigmoid(40 * (reach - radius))
    return torch.polar(inside * (1 + 0.4 * torch.cos(9 * grid[0]) * torch.cos(7 * grid[-1])), 1.5 * grid[-1])


def birdcage(size: tuple[int, ...] = SIZE, coils: int = 8) -> Tensor:
    operator = recon.build("operator", "multicoil_fourier", maps={"coils": coils}, dimensions=len(size))
    return operator.maps.maps(size, dtype=torch.complex128)


def measured(maps: Tensor, image: Tensor, noise: float = 1e-3) -> Tensor:
    y = fft_centred((maps * image)[None], image.ndim)
    return y + noise * torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(0))


def error(maps: Tensor, truth: Tensor, inside: Tensor) -> Tensor:
    """1 - |<m, true>| in each pixel of the object."""
    return (1 - (maps.conj() * truth).sum(0).abs())[inside]


@pytest.fixture(scope="module")
def y() -> Tensor:
    return measured(birdcage(), head())


INSIDE = head().abs() > 0.3


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("step", [1, 2])
def test_known_maps(y: Tensor, step: int, dtype: torch.dtype) -> None:
    maps = Espirit(step=step)(y.to(dtype), recon.build("operator", "fourier"))
    assert maps.shape == y.shape
    assert maps.dtype == dtype
    wrong = error(maps[0].to(torch.complex128), birdcage(), INSIDE)
    assert float(wrong.mean()) < 2e-5
    assert float(wrong.max()) < 1e-3
    energy = maps[0].abs().square().sum(0)
    assert torch.allclose(energy[INSIDE], torch.ones(()).to(energy), atol=1e-5)
    assert float(energy[:6, :6].max()) == 0  # far from the object


def test_undersampled_columns_give_the_same_maps(y: Tensor) -> None:
    mask = torch.zeros(SIZE[1], dtype=torch.bool)
    mask[::4] = mask[28:52] = True
    sampled = recon.build("operator", "fourier", mask=mask)
    maps = Espirit()(torch.where(mask, y, 0), sampled)
    assert torch.allclose(maps, Espirit()(y, recon.build("operator", "fourier")), atol=1e-9)


def test_matrices_are_sums_of_the_kernels_images() -> None:
    """G by its definition: every kernel as an image, zero-padded, and the sum of their products."""
    centre = torch.randn(3, 9, 8, dtype=torch.complex128, generator=torch.Generator().manual_seed(1))
    kernel, size = 4, (12, 10)
    rows = torch.stack([centre[:, a : a + kernel, b : b + kernel].flatten() for a in range(6) for b in range(5)])
    _, values, vh = torch.linalg.svd(rows, full_matrices=False)
    expected = torch.zeros(3, 3, *size, dtype=torch.complex128)
    for row in vh[values > 0.5 * values[0]].reshape(-1, 3, kernel, kernel):
        padded = torch.zeros(3, *size, dtype=torch.complex128)
        padded[:, 6 : 6 + kernel, 5 : 5 + kernel] = row
        image = ifft_centred(padded) * (size[0] * size[1]) ** 0.5 / kernel
        expected += image[:, None] * image[None].conj()
    padded = torch.zeros(3, 3, *size, dtype=torch.complex128)
    reach = kernel - 1
    padded[..., 6 - reach : 6 + kernel, 5 - reach : 5 + kernel] = correlations(centre, kernel, 0.5)
    found = ifft_centred(padded) * (size[0] * size[1]) ** 0.5
    assert torch.allclose(found, expected, atol=1e-12)
    assert torch.allclose(found, found.transpose(0, 1).conj(), atol=1e-12)
    assert float(torch.linalg.eigvalsh(found.movedim((0, 1), (-2, -1))).max()) <= 1 + 1e-12


def test_power_iteration_gives_the_eigenvectors() -> None:
    """From any start, slow and degenerate cases among them."""
    generator = torch.Generator().manual_seed(0)
    q, _ = torch.linalg.qr(torch.randn(500, 6, 6, dtype=torch.complex128, generator=generator))
    values = torch.rand(500, 6, dtype=torch.float64, generator=generator)
    values[:50] = 0.5
    values[50:100, :2] = torch.tensor([0.9, 0.899])
    values[100] = 0
    g = (q * values[:, None]) @ q.mH
    start = torch.randn(500, 6, dtype=torch.complex128, generator=generator)
    start[:10] = 0
    start[200:] = q[200:, :, 0]  # the wrong one, for most
    value, vector = dominant(g, start)
    right = torch.linalg.eigvalsh(g)[:, -1:]
    assert float((value - right)[100:200].abs().max()) < 1e-6
    assert float((value - right).abs().max()) < 0.02
    assert torch.allclose(g @ vector, value[..., None] * vector, atol=2e-4)
    length = torch.linalg.vector_norm(vector, dim=1)
    assert torch.allclose(length[right > 0], torch.ones(()).double())


def test_first_of_several_sets_is_the_only_one(y: Tensor) -> None:
    operator = recon.build("operator", "fourier")
    one, several = Espirit()(y, operator), Espirit(sets=2)(y, operator)
    assert several.shape == (1, 2, *y.shape[1:])
    assert float((1 - (one * several[:, 0].conj()).sum(1).abs())[0][INSIDE].max()) < 1e-6
    # Nothing folds over: the second set is zero in the object.
    assert float(several[:, 1].abs().sum(1)[0][INSIDE].max()) == 0
    assert float(Espirit(sets=9)(y, operator)[:, 8].abs().max()) == 0  # more sets than coils


def test_second_set_explains_what_folds_over() -> None:
    """A field of view of half the object: two sets hold the coils' folded images, and one does not."""
    large = (96, 80)
    texture = torch.rand(large, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5
    images = birdcage(large) * head(large, reach=0.85) * texture
    folded = images.reshape(8, 96, 2, 40).sum(2)  # half the field of view along x
    y = fft_centred(folded[None])
    operator = recon.build("operator", "fourier")

    def unexplained(sets: int) -> float:
        maps = Espirit(sets=sets, crop=0.9)(y, operator).reshape(1, sets, 8, 96, 40)
        combined = torch.einsum("bsc...,bc...->bs...", maps.conj(), folded[None])
        return float(torch.linalg.vector_norm(torch.einsum("bsc...,bs...->bc...", maps, combined) - folded))

    total = float(torch.linalg.vector_norm(folded))
    one, two, three = (unexplained(sets) for sets in (1, 2, 3))
    assert one > 0.08 * total
    assert two < 0.4 * one
    assert three == pytest.approx(two)


def test_soft_maps_fade(y: Tensor) -> None:
    operator = recon.build("operator", "fourier")
    hard, soft = Espirit(crop=0.8)(y, operator), Espirit(crop=0.8, soft=True)(y, operator)
    weight = torch.linalg.vector_norm(soft, dim=1)[0]
    assert float(weight[INSIDE].min()) > 0.95
    assert bool(((weight > 0.05) & (weight < 0.95)).any())
    assert set(torch.linalg.vector_norm(hard, dim=1).round(decimals=6).unique().tolist()) == {0.0, 1.0}
    assert float(weight[torch.linalg.vector_norm(hard, dim=1)[0] == 0].max()) <= 0.5


@pytest.mark.parametrize("phase", ["first", "principal"])
def test_phase_reference(y: Tensor, phase: str) -> None:
    maps = Espirit(phase=phase)(y, recon.build("operator", "fourier"))[0]
    if phase == "first":
        reference = maps[0]
    else:
        data = y[0, :, 36:60, 28:52].flatten(1)
        vector = torch.linalg.svd(data)[0][:, 0]
        reference = torch.einsum("c,c...->...", vector.conj(), maps)
        largest = vector[vector.abs().argmax()]
        reference = reference * largest / largest.abs()
    seen = reference[maps.abs().sum(0) > 0]
    assert float(seen.imag.abs().max()) < 1e-10
    assert float(seen.real.min()) >= 0


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e12])
def test_scale_of_the_data_makes_no_difference(y: Tensor, scale: float) -> None:
    """Clinical k-space is of the order of 1e-6; its squares must not vanish in single precision."""
    operator = recon.build("operator", "fourier")
    one, other = (Espirit()(k.to(torch.complex64), operator) for k in (y, y * scale))
    assert torch.allclose(one, other, atol=2e-3)


def test_volume_is_its_slices() -> None:
    """Where nothing varies along an axis, a volume has the maps of the plane."""
    maps, image = birdcage((24, 20), coils=4), head((24, 20))
    plane = measured(maps, image, noise=0)
    volume = torch.zeros(1, 4, 8, 24, 20, dtype=torch.complex128)
    volume[:, :, 2:7] = (
        torch.randn(5, 1, 1, dtype=torch.complex128, generator=torch.Generator().manual_seed(0)) * plane[:, :, None]
    )
    settings = {"kernel": 4, "width": 16, "threshold": 0.01}
    operator = recon.build("operator", "fourier", dimensions=3)
    found = Espirit(**settings)(volume, operator)
    expected = Espirit(**settings)(plane, recon.build("operator", "fourier"))
    inside = image.abs() > 0.3
    assert float(error(expected[0], maps, inside).max()) < 1e-2
    for z in range(8):
        assert float((1 - (found[0, :, z].conj() * expected[0]).sum(0).abs())[inside].max()) < 1e-3


def test_items_with_masks_of_their_own(y: Tensor) -> None:
    both = torch.cat([y, y.flip(1)])
    masks = torch.zeros(2, 1, 1, SIZE[1], dtype=torch.bool)
    masks[0, ..., ::3] = masks[1, ..., ::5] = True
    masks[0, ..., 30:50] = masks[1, ..., 27:53] = True
    k = torch.where(masks, both, 0)
    maps = Espirit()(k, recon.build("operator", "fourier", mask=masks))
    for i in range(2):
        alone = Espirit()(k[i : i + 1], recon.build("operator", "fourier", mask=masks[i, 0]))
        assert torch.equal(maps[i : i + 1], alone)
    given = Espirit().with_calibration(both)(k, recon.build("operator", "fourier", mask=masks))
    assert torch.allclose(given, Espirit()(both, recon.build("operator", "fourier")))


def test_separate_calibration_data(y: Tensor) -> None:
    """Lines of another scan stand for a centre that was not measured densely."""
    mask = torch.zeros(SIZE[1], dtype=torch.bool)
    mask[::4] = True
    lines = torch.zeros_like(y)
    lines[..., 28:52] = y[..., 28:52]
    operator = recon.build("operator", "fourier", mask=mask)
    with pytest.raises(UsageError, match="at least 6 samples an axis, and found 24 x 1"):
        Espirit()(torch.where(mask, y, 0), operator)
    maps = Espirit().with_calibration(lines)(torch.where(mask, y, 0), operator)
    assert torch.allclose(maps, Espirit()(y, recon.build("operator", "fourier")), atol=1e-9)


def test_equal_to_sigpy(y: Tensor) -> None:
    """One set of maps and its eigenvalues, where SigPy's power iteration has converged."""
    app = pytest.importorskip("sigpy.mri.app", reason="needs SigPy")
    k = y.to(torch.complex64)
    with np.errstate(all="ignore"):
        theirs, values = app.EspiritCalib(k[0].numpy(), show_pbar=False, max_iter=150, output_eigenvalue=True).run()
    ours = Espirit(phase="first")(k, recon.build("operator", "fourier"))[0].numpy()
    kept = (np.abs(ours).sum(0) > 0) & (np.abs(theirs).sum(0) > 0)
    assert np.mean((np.abs(ours).sum(0) > 0) == (values > 0.95)) > 0.999
    product = np.abs((ours.conj() * theirs).sum(0))
    assert 1 - product[kept].mean() < 1e-5
    assert 1 - product[INSIDE.numpy()].min() < 1e-5
    # The phase, too, is relative to the first coil in both.
    assert np.abs(ours - theirs)[:, INSIDE.numpy()].max() < 5e-3


def test_real_brain(shared_data) -> None:
    """The maps of a real, undersampled scan hold its calibration data, and are SigPy's."""
    k = torch.from_numpy(np.load(shared_data / "mri_kspace" / "sigpy_brain8" / "cartesian_ksp.npy"))[None]
    operator = recon.build("operator", "fourier", mask=(k[0] != 0).any(0))
    maps = Espirit(crop=0.8)(k, operator)
    low = torch.zeros_like(k)
    low[..., 103:127, 78:102] = k[..., 103:127, 78:102]
    images = ifft_centred(low)
    held = maps * (maps.conj() * images).sum(1, keepdim=True)
    assert float(torch.linalg.vector_norm(held - images) / torch.linalg.vector_norm(images)) < 0.08
    app = pytest.importorskip("sigpy.mri.app", reason="needs SigPy")
    with np.errstate(all="ignore"):
        theirs = torch.from_numpy(app.EspiritCalib(k[0].numpy(), crop=0.95, show_pbar=False).run())
    kept = theirs.abs().sum(0) > 0
    assert 1 - float((maps[0].conj() * theirs).sum(0).abs()[kept].mean()) < 1e-5


def test_radial_data_are_gridded_first() -> None:
    pytest.importorskip("finufft")
    maps, image = birdcage((48, 48), coils=4), head((48, 48))
    spokes = {"kind": "radial", "spokes": 76}
    operator = recon.build("operator", "nufft", size=(48, 48), trajectory=spokes)
    y = operator((maps * image)[None])
    found = Espirit(width=20)(y, operator)[0]
    assert float(error(found, maps, image.abs() > 0.3).mean()) < 1e-3
    # Where the operator has maps, they are not used.
    again = Espirit(width=20)(y, operator.with_maps(maps))[0]
    torch.testing.assert_close(again, found, rtol=0, atol=1e-3)  # sums of finufft depend on its threads


@pytest.mark.cuda
def test_cuda_gives_the_same(y: Tensor) -> None:
    k = y.to(torch.complex64)
    operator = recon.build("operator", "fourier")
    for settings in ({}, {"step": 2}, {"sets": 2}):
        cpu, gpu = Espirit(**settings)(k, operator), Espirit(**settings)(k.cuda(), operator.cuda())
        assert gpu.is_cuda
        product = (cpu.conj() * gpu.cpu()).sum(-3).abs().reshape(-1, *SIZE)[0]
        assert float(1 - product[INSIDE].min()) < 1e-5
