"""GRAPPA against a reference of loops, geometry by hand, and errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import recon
from recon.errors import UsageError
from recon.kspace import fft_centred, root_sum_of_squares
from recon_plugins.mri_methods import Grappa
from recon_plugins.mri_methods.neighbours import geometries, spacing


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


def every(step: int, size: int, block: slice) -> Tensor:
    mask = torch.zeros(size, dtype=torch.bool)
    mask[::step] = True
    mask[block] = True
    return mask


def test_geometry_of_regular_lines() -> None:
    """Every third of 12 lines: one kernel, whose four sources lie 3 apart, makes the two missing lines between."""
    mask = np.zeros(12, dtype=bool)
    mask[::3] = True
    assert spacing(mask, 0) == 3
    (geometry,) = geometries(mask, 4, [6])
    assert geometry.sources[:, 0].tolist() == [0, 3, 6, 9]
    assert geometry.targets[:, 0].tolist() == [4, 5]
    assert sorted(geometry.anchors[:, 0].tolist()) == [0, 3, 6, 9]  # k-space is periodic
    assert geometry.wanted.all()


def test_every_missing_point_is_made_once_or_lies_outside() -> None:
    generator = np.random.default_rng(0)
    for shape in ((40,), (14, 17)):
        mask = generator.random(shape) < 0.4
        made = np.zeros(shape, dtype=int)
        for geometry in geometries(mask, 2, [4] * len(shape)):
            for place, wanted in zip(geometry.anchors, geometry.wanted, strict=True):
                assert all(mask[tuple((place + source) % shape)] for source in geometry.sources)
                for target in geometry.targets[wanted]:
                    made[tuple((place + target) % shape)] += 1
        assert (made[mask] == 0).all()
        assert (made <= 1).all()
        if len(shape) == 1:
            near = [[any(mask[(i + side * d) % 40] for d in range(1, 5)) for side in (-1, 1)] for i in range(40)]
            np.testing.assert_array_equal(made == 1, ~mask & np.all(near, axis=1))
        else:
            assert (made[~mask] == 1).all()


def test_the_gap_of_partial_fourier_is_left() -> None:
    mask = np.zeros(40, dtype=bool)
    mask[12::2] = True
    made = {int((a + t) % 40) for g in geometries(mask, 4, [4]) for a in g.anchors[:, 0] for t in g.targets[:, 0]}
    assert made == {13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33, 35, 37}


@pytest.mark.parametrize("step", [2, 3])
def test_weights_and_lines_are_those_of_plain_loops(step) -> None:
    """One interior geometry: the same least squares by numpy's lstsq, with the damping as rows of their own."""
    height, width, coils, damping = 18, 12 * step, 3, 1e-2
    y = normal(1, coils, height, width)
    block = slice(width // 2 - 9, width // 2 + 10)
    calibration = torch.zeros_like(y)
    calibration[..., block] = normal(1, coils, height, 19, seed=1)
    mask = every(step, width, slice(0, 0))
    operator = recon.build("operator", "fourier", mask=mask)
    y = torch.where(mask, y, 0)
    method = Grappa(damping=damping, readout=3).with_calibration(calibration)
    filled = method.fill(y, operator)
    assert torch.equal(filled[..., mask], y[..., mask])
    acs, data = calibration[0][..., block].numpy(), y[0].numpy()
    offsets = [(o, s * step) for s in range(4) for o in (-1, 0, 1)]
    rows, right = [], []
    for r in range(1, height - 1):
        for c in range(19 - 3 * step):
            rows.append(np.concatenate([acs[:, r + a, c + b] for a, b in offsets]))
            right.append(np.concatenate([acs[:, r, c + step + 1 + t] for t in range(step - 1)]))
    rows, right = np.array(rows), np.array(right)
    gram = rows.conj().T @ rows
    extra = np.sqrt(damping * np.linalg.norm(gram) / len(gram)) * np.eye(len(gram))
    weights, *_ = np.linalg.lstsq(
        np.concatenate([rows, extra]), np.concatenate([right, np.zeros((len(gram), right.shape[1]))]), rcond=None
    )
    for r in (0, 7, height - 1):
        for place in (0, step, 5 * step, width - step):
            sources = np.concatenate([data[:, (r + a) % height, (place + b) % width] for a, b in offsets])
            made = (sources @ weights).reshape(step - 1, coils)
            for t in range(step - 1):
                ours = filled[0, :, r, (place + step + 1 + t) % width].numpy()
                np.testing.assert_allclose(ours, made[t], atol=1e-10)


@pytest.fixture(scope="module")
def scan(coil_maps, phantom):
    """Full k-space of two items in six coils, 48 x 45, and their root sums of squares."""
    images = coil_maps(6, 48, 45) * phantom(48, 45, 2)
    return fft_centred(images), root_sum_of_squares(images)


def error(x: Tensor, reference: Tensor) -> float:
    return float((x - reference).norm() / reference.norm())


@pytest.mark.parametrize("layout", ["columns", "rows", "plane", "irregular"])
def test_fills_in(scan, layout) -> None:
    k, reference = scan
    if layout == "columns":
        mask = every(2, 45, slice(14, 32))
    elif layout == "rows":
        mask = every(3, 48, slice(14, 34))[:, None]
    elif layout == "plane":
        mask = every(2, 48, slice(0, 0))[:, None] & every(2, 45, slice(0, 0))
        mask[14:34, 12:32] = True
    else:
        mask = torch.rand(45, generator=torch.Generator().manual_seed(0)) < 0.5
        mask[12:32] = True
    operator = recon.build("operator", "fourier", mask=mask)
    y = torch.where(mask, k, 0)
    zero_filled = error(root_sum_of_squares(operator.adjoint(y)), reference)
    x = Grappa()(y, operator)
    assert x.dtype == torch.float64
    assert error(x, reference) < 0.3 * zero_filled
    single = Grappa()(y.to(torch.complex64), operator)
    assert error(single, x) < 1e-3


def test_combines_by_sensitivities(scan, coil_maps, phantom) -> None:
    k, _ = scan
    mask = every(2, 45, slice(14, 32))
    y = torch.where(mask, k, 0)
    by_given = Grappa()(y, recon.build("operator", "multicoil_fourier", maps=coil_maps(6, 48, 45), mask=mask))
    assert error(by_given, phantom(48, 45, 2)) < 0.05
    found = Grappa(maps="espirit", output="magnitude")(y, recon.build("operator", "fourier", mask=mask))
    assert error(found, phantom(48, 45, 2).abs()) < 0.1


def test_calibration_data_beside_the_scan(scan) -> None:
    k, reference = scan
    mask = every(2, 45, slice(0, 0))
    operator = recon.build("operator", "fourier", mask=mask)
    y, calibration = torch.where(mask, k, 0), torch.zeros_like(k)
    calibration[..., 12:32] = k[..., 12:32]
    with pytest.raises(UsageError, match=r"measured in full|too few"):
        Grappa()(y, operator)
    assert error(Grappa().with_calibration(calibration)(y, operator), reference) < 0.1


def test_masks_of_items_and_full_masks(scan) -> None:
    k, reference = scan
    masks = torch.stack([every(2, 45, slice(14, 32)), every(3, 45, slice(12, 34))])[:, None, None]
    together = Grappa()(torch.where(masks, k, 0), recon.build("operator", "fourier", mask=masks))
    for item in range(2):
        operator = recon.build("operator", "fourier", mask=masks[item, 0, 0])
        alone = Grappa()(torch.where(masks[item : item + 1], k[item : item + 1], 0), operator)
        torch.testing.assert_close(alone, together[item : item + 1])
    for mask in (None, torch.ones(45)):
        torch.testing.assert_close(Grappa()(k, recon.build("operator", "fourier", mask=mask)), reference)


def test_volume(coil_maps, phantom) -> None:
    images = coil_maps(4, 24, 20)[:, None] * phantom(24, 20)[:, :, None].expand(-1, -1, 10, -1, -1)
    k = fft_centred(images, 3)
    mask = every(2, 24, slice(7, 17))[:, None] & torch.ones(20, dtype=torch.bool)
    mask = mask[None, :, :1]
    operator = recon.build("operator", "fourier", mask=mask, dimensions=3)
    x = Grappa(lines=2, readout=3)(torch.where(mask, k, 0), operator)
    assert error(x, root_sum_of_squares(images)) < 0.05


def test_bad_input(scan) -> None:
    k, _ = scan
    with pytest.raises(UsageError, match="odd"):
        Grappa(readout=4)
    with pytest.raises(UsageError, match="cg_sense"):
        Grappa()(torch.zeros(1, 1, 8, 8), recon.build("operator", "gaussian_blur", size=(8, 8), sigma=1.0))
    narrow = every(4, 45, slice(20, 26))
    with pytest.raises(UsageError, match=r"only 6 lines .* needs 12"):
        Grappa()(torch.where(narrow, k, 0), recon.build("operator", "fourier", mask=narrow))
