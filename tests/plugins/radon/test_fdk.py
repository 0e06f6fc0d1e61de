"""FDK against exact projections of ellipsoids and against two-dimensional FBP in the source's plane."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch

from recon.errors import UsageError
from recon.testing.ellipsoids import Ellipsoid
from recon_plugins.radon import FBP, FDK, ConeBeam, ConeBeamRadon, FanBeamRadon, Radon3D, VolumeTransform
from recon_plugins.radon.voxel_driven import VoxelDriven

from .volumes import head, projected, psnr, randn, relative, sampled

N = 48
SCAN = {"size": (N // 2, N, N), "source_distance": 3.0 * N, "detector_distance": 1.5 * N}
FLAT = ConeBeamRadon(angles=120, **SCAN)
CURVED = ConeBeamRadon(angles=120, detector="curved", **SCAN)
# A head whose ends, like those of the volume, lie where the cone still is narrow.
PHANTOM = [Ellipsoid(p.value, p.centre, (*p.axes[:2], p.axes[2] / 2), p.turn) for p in head(N / 2, 0.02)]


def reconstructed(operator: VolumeTransform, method: FDK | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """The phantom and what FDK makes of its exact projections."""
    y = projections(operator.geometry)
    return sampled(PHANTOM, operator.grid, 2).float(), (method or FDK())(y, operator)


@cache
def projections(geometry: ConeBeam) -> torch.Tensor:
    return projected(PHANTOM, geometry, 2).float()


@pytest.mark.parametrize(
    ("operator", "floor"),
    [
        (FLAT, 26.6),
        (CURVED, 25.8),
        (FLAT.with_(angles=[2 * math.pi * k / 120 + 0.3 for k in range(120)], pixel=1.0), 26.6),
        (FLAT.with_(angles=[2 * math.pi * k / 120 for k in range(74)]), 26.5),
        (CURVED.with_(angles=[2 * math.pi * k / 120 + 1.0 for k in range(74)]), 25.7),
        (FLAT.with_(bins=(40, 54), offset=(1.5, 12.0)), 26.5),
    ],
    ids=["flat", "curved", "turned", "short scan", "short scan, curved", "detector to one side"],
)
def test_head_from_exact_projections(operator: ConeBeamRadon, floor: float) -> None:
    expected, found = reconstructed(operator)
    middle = slice(N // 4 - 4, N // 4 + 4)
    assert psnr(found[:, :, middle], expected[:, :, middle]) > floor
    assert psnr(found, expected) > floor - 0.8
    # Well within the head, no bias in 1/mm.
    x, y, _ = operator.grid.coordinates()
    within = x**2 + y[:, None] ** 2 < (0.45 * N / 2) ** 2
    ratio = found[:, :, middle, within].mean() / expected[:, :, middle, within].mean()
    assert float(ratio) == pytest.approx(1, abs=0.004)


def test_without_parker_the_short_scan_is_wrong() -> None:
    short = FLAT.with_(angles=[2 * math.pi * k / 120 for k in range(74)])
    expected, weighted = reconstructed(short)
    assert psnr(reconstructed(short, FDK(short_scan="none"))[1], expected) < psnr(weighted, expected) - 3


@pytest.mark.parametrize("detector", ["flat", "curved"])
@pytest.mark.parametrize("window", ["ram-lak", "hann"])
def test_the_middle_slice_is_fbp_of_the_fan(detector: str, window: str) -> None:
    scan = {"angles": 90, "source_distance": 100.0, "detector_distance": 50.0, "detector": detector}
    fan = FanBeamRadon(size=(32, 32), bins=70, bin_size=1.4, offset=3.0, **scan)
    cone = ConeBeamRadon(size=(3, 32, 32), bins=(5, 70), bin_size=1.4, offset=(0.0, 3.0), **scan)
    y = randn(1, 1, *cone.sinogram_size)
    expected = FBP(filter=window, padding="edge")(y[:, :, :, 2], fan)
    assert relative(FDK(filter=window, padding="edge")(y, cone)[:, :, 1], expected) < 1e-12


def test_a_turned_detector_is_served_as_in_the_plane() -> None:
    geometry = ConeBeam(FLAT.geometry.angles, (42, 84), 1.5, 3.0 * N, 1.5 * N, tilt=(0.15, 0.0, 0.0))
    operator = VolumeTransform(geometry=geometry, size=SCAN["size"])
    expected, found = reconstructed(operator)
    assert psnr(found, expected) > 27.6


def test_voxels_of_any_shape_and_place() -> None:
    operator = FLAT.with_(
        size=(16, 36, 45), pixel=(1.3, 1.2, 1.1), centre=(1.0, -1.5, 2.0), bins=(46, 84), bin_size=1.5
    )
    expected, found = reconstructed(operator)
    assert psnr(found, expected) > 26.5


@pytest.mark.parametrize("detector", ["flat", "curved"])
def test_compiled_kernels_equal_plain_torch(detector: str) -> None:
    operator = ConeBeamRadon(
        size=(21, 12, 15), pixel=(0.7, 0.9, 0.8), angles=7, source_distance=40.0, detector_distance=20.0, bins=(24, 17),
        bin_size=(1.1, 1.4), offset=(0.5, -0.8), centre=(0.5, -0.4, 0.3), detector=detector,
    )  # fmt: skip
    for changes in ({}, {"bin_size": (0.3, 1.4), "bins": (70, 17)}, {"bin_size": (4.0, 1.4), "bins": (7, 17)}):
        scan = operator.with_(**changes)
        lanes = VoxelDriven(geometry=scan.geometry, grid=scan.grid)
        plain = lanes.with_(backend="sparse")
        x, y = randn(2, 1, *scan.size), randn(2, 1, *scan.sinogram_size, seed=1)
        assert relative(lanes(x.float()), plain(x)) < 1e-6
        assert relative(lanes.adjoint(y.float()), plain.adjoint(y)) < 1e-6
        gap = (plain(x) * y).sum() - (x * plain.adjoint(y)).sum()
        assert abs(float(gap)) < 1e-13 * float(plain(x).norm() * y.norm())


def test_gradient_of_a_reconstruction() -> None:
    operator = ConeBeamRadon(size=(3, 5, 4), angles=6, source_distance=20.0, detector_distance=12.0)
    y = randn(1, 1, *operator.sinogram_size).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: FDK()(y, operator), y)
    single = y.detach().float().requires_grad_()
    weights = randn(1, 1, 3, 5, 4)
    (a,) = torch.autograd.grad((FDK()(y, operator) * weights).sum(), y)
    (b,) = torch.autograd.grad((FDK()(single, operator) * weights.float()).sum(), single)
    assert relative(b, a) < 1e-5


@pytest.mark.filterwarnings("ignore:the object reaches beyond")
def test_complex_and_noisy_projections() -> None:
    from recon_plugins.gaussian_noise import GaussianNoise

    operator = ConeBeamRadon(size=(3, 5, 4), angles=6, source_distance=20.0, detector_distance=12.0)
    y = randn(2, 1, *operator.sinogram_size, dtype=torch.complex64)
    z = FDK()(y, GaussianNoise(sigma=0.1) @ operator)
    torch.testing.assert_close(z, torch.complex(FDK()(y.real, operator), FDK()(y.imag, operator)))


HELIX = ConeBeamRadon(size=(4, 6, 6), angles=12, pitch=2.0, bins=(4, 9), source_distance=30.0, detector_distance=9.0)
ROLLED = VolumeTransform(geometry=ConeBeam((0.0, 2.0), (4, 9), 1.0, 30.0, 9.0, tilt=(0.0, 0.0, 0.2)), size=(4, 6, 6))


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (HELIX, "not a helix: rebin the scan"),
        (ROLLED, "neither rolled nor pitched: take sirt"),
        (Radon3D(size=(4, 6, 6), angles=3), "fdk reconstructs cone beams.*take fbp"),
    ],
)
def test_scans_it_cannot_serve_are_refused(operator: VolumeTransform, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        FDK()(torch.zeros(1, 1, *operator.sinogram_size), operator)


def test_projections_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(UsageError, match=r"projections must end in \(120, "):
        FDK()(torch.zeros(1, 1, 3, 4, 5), FLAT)


def test_a_narrow_detector_is_noticed() -> None:
    narrow = FLAT.with_(bins=(40, 30))
    y = projections(narrow.geometry)
    with pytest.warns(UserWarning, match=r"beyond the detector in 100% of the views"):
        FDK()(y, narrow)
    edge = FDK(padding="edge")(y, narrow)  # is silent: warnings are errors here
    assert edge.isfinite().all()
    with pytest.warns(UserWarning, match=r"too small for the object: \d+\.\d% of its mass"):
        narrow.check_image(sampled(PHANTOM, narrow.grid, 2))
    FLAT.check_image(sampled(PHANTOM, FLAT.grid, 2))


def test_a_narrow_detector_is_noticed_by_parallel_rays() -> None:
    radon = Radon3D(angles=8, size=(2, 32, 32), bins=(2, 10))
    with pytest.warns(UserWarning, match="too small for the object"):
        radon.check_image(torch.ones(1, 1, 2, 32, 32))
