"""Homodyne detection and POCS: closed forms, both sides, both axes, errors."""

from __future__ import annotations

import pytest
import torch

import recon
from recon.errors import UsageError
from recon.kspace import fft_centred, root_sum_of_squares
from recon_plugins.mri_methods import POCS, Grappa, Homodyne

METHODS = [Homodyne(), POCS(iterations=60)]


def measured(size: int, missing: int, side: str) -> torch.Tensor:
    mask = torch.ones(size, dtype=torch.bool)
    if side == "low":
        mask[:missing] = False
    else:
        mask[size - missing :] = False
    return mask


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("axis", "size"), [(-1, 32), (-1, 33), (-2, 32)])
@pytest.mark.parametrize("side", ["low", "high"])
def test_constant_phase_is_exact(method, axis, size, side) -> None:
    """A real image of constant phase has conjugate symmetric k-space: nothing is lost.

    Of an even size the Nyquist frequency, which has no partner, must not be in the image.
    """
    shape = [20, 20]
    shape[axis] = size
    x = torch.rand(2, 1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
    k = fft_centred(x)
    k[..., 0, :] = 0
    k[..., 0] = 0
    x = recon.build("operator", "fourier").adjoint(k)
    if x.imag.abs().max() > 1e-12:  # the cut spoilt the symmetry of an odd size
        k = fft_centred(x.real.clone())
        x = x.real.to(k.dtype)
    mask = measured(size, size * 3 // 8, side)
    mask = mask if axis == -1 else mask[:, None]
    operator = recon.build("operator", "fourier", mask=mask)
    turned = x * torch.polar(torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64))
    y = operator(turned)
    result = method(y, operator)
    expected = turned if result.is_complex() else x.real
    torch.testing.assert_close(result, expected, atol=2e-3, rtol=0)
    assert (operator.adjoint(y) - turned).abs().max() > 0.05


@pytest.mark.parametrize("method", METHODS)
def test_slowly_varying_phase_of_coils(method, coil_maps, phantom) -> None:
    images = coil_maps(4, 48, 40) * phantom(48, 40, 2)
    reference = root_sum_of_squares(images)
    operator = recon.build("operator", "fourier", mask=measured(40, 14, "low"))
    y = operator(images)
    zero_filled = (root_sum_of_squares(operator.adjoint(y)) - reference).norm()
    result = method(y, operator)
    assert result.shape == reference.shape and not result.is_complex()
    assert (result - reference).norm() < 0.55 * zero_filled
    torch.testing.assert_close(method(y[1:], operator), result[1:])


def test_pocs_keeps_what_was_measured(phantom) -> None:
    operator = recon.build("operator", "fourier", mask=measured(40, 12, "high"))
    y = operator(phantom(48, 40))
    torch.testing.assert_close(operator(POCS()(y, operator)), y)


def test_full_data_stay(phantom) -> None:
    x = phantom(20, 21)
    for mask in (None, torch.ones(21)):
        operator = recon.build("operator", "fourier", mask=mask)
        torch.testing.assert_close(POCS()(operator(x), operator), x)
        torch.testing.assert_close(Homodyne()(operator(x), operator), x.abs())


def test_after_grappa(coil_maps, phantom) -> None:
    """Undersampled and with a side missing: GRAPPA fills the lines, homodyne and POCS the side."""
    images = coil_maps(6, 48, 44) * phantom(48, 44)
    mask = torch.zeros(44, dtype=torch.bool)
    mask[12::2] = True
    mask[14:32] = True
    operator = recon.build("operator", "fourier", mask=mask)
    y, reference = operator(images), root_sum_of_squares(images)
    by_grappa = (Grappa()(y, operator) - reference).norm()
    for name in ("homodyne", "pocs"):
        method = recon.build("method", name, fill="grappa")
        assert (method(y, operator) - reference).norm() < 0.8 * by_grappa
        # Calibration data reach the method that fills in.
        torch.testing.assert_close(method.with_calibration(y)(y, operator), method(y, operator))
        lines = torch.zeros(44, dtype=torch.bool)
        lines[12::2] = True
        sparse = recon.build("operator", "fourier", mask=lines)
        assert (method.with_calibration(y)(sparse(images), sparse) - reference).norm() < by_grappa
        with pytest.raises(UsageError, match="undersampled otherwise too: set fill to grappa"):
            recon.build("method", name)(y, operator)
        with pytest.raises(UsageError, match="does not fill in"):
            recon.build("method", name, fill="rss")(y, operator)


def test_the_centre_must_be_inside() -> None:
    operator = recon.build("operator", "fourier", mask=measured(16, 8, "low"))
    with pytest.raises(UsageError, match="both sides of the centre"):
        Homodyne()(torch.ones(1, 1, 8, 16, dtype=torch.complex64), operator)
