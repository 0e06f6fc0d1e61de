"""Which part of k-space calibrates."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import recon
from recon.calibration import calibration_data, central_block
from recon.errors import UsageError
from recon.kspace import fft_centred


def block(*edges: tuple[int, int]) -> tuple[slice, ...]:
    return tuple(slice(a, b) for a, b in edges)


def columns(n: int, low: int, high: int, step: int = 3) -> Tensor:
    mask = torch.zeros(n, dtype=torch.bool)
    mask[::step] = mask[low:high] = True
    return mask


def test_columns_leave_the_readout_whole() -> None:
    mask = columns(40, 16, 25)
    mask[15] = mask[25] = False
    assert central_block(mask, (30, 40)) == block((0, 30), (16, 25))
    assert central_block(mask, (30, 40), width=6) == block((12, 18), (17, 23))
    # Columns that chance added to the block are taken as well.
    mask[25:27] = True
    assert central_block(mask, (30, 40)) == block((0, 30), (16, 28))  # 27 is a third one


def test_width_stays_within_the_block() -> None:
    """A block that lies aside from the zero frequency, as of partial Fourier sampling."""
    mask = torch.zeros(40, dtype=torch.bool)
    mask[18:] = True
    assert central_block(mask, (40,), width=10) == block((18, 28))
    assert central_block(None, (41, 40), width=10) == block((15, 25), (15, 25))


def test_box_within_a_disc() -> None:
    y, x = torch.meshgrid(torch.arange(41) - 20, torch.arange(60) - 30, indexing="ij")
    disc = x**2 + y**2 <= 100
    found = central_block(disc, disc.shape)
    assert bool(disc[found].all())
    edges = [s.stop - s.start for s in found]
    assert min(edges) >= 13  # the square within the disc has edges of 14 to 15
    larger = [(slice(a.start - 1, a.stop), b) for a, b in [found]] + [
        (found[0], slice(found[1].start, found[1].stop + 1))
    ]
    assert all(not bool(disc[one].all()) for one in larger)


def test_planes_in_space() -> None:
    mask = torch.zeros(1, 20, 18, dtype=torch.bool)
    mask[:, 7:14, 6:12] = True
    assert central_block(mask, (9, 20, 18)) == block((0, 9), (7, 14), (6, 12))


def test_centre_must_be_sampled() -> None:
    mask = torch.ones(20, dtype=torch.bool)
    mask[10] = False
    with pytest.raises(UsageError, match="centre of k-space was not sampled"):
        central_block(mask, (8, 20))


def test_data_of_masks_per_item() -> None:
    y = torch.randn(2, 3, 10, 30, dtype=torch.complex64)
    same = torch.stack([columns(30, 11, 20, step) for step in (4, 7)])[:, None, None]
    same[..., 10] = same[..., 20] = False
    operator = recon.build("operator", "fourier", mask=same)
    assert torch.equal(calibration_data(y, operator), y[..., 11:20])
    other = torch.stack([columns(30, 11, 20, 4), columns(30, 12, 18, 4)])[:, None, None]
    with pytest.raises(UsageError, match="item by item"):
        calibration_data(y, recon.build("operator", "fourier", mask=other))


def test_given_data_tell_their_own_block() -> None:
    y = torch.randn(2, 3, 10, 30, dtype=torch.complex64)
    given = torch.zeros_like(y)
    given[..., 12:21] = torch.randn(2, 3, 10, 9, dtype=torch.complex64)
    operator = recon.build("operator", "fourier", mask=columns(30, 15, 16))
    assert torch.equal(calibration_data(y, operator, given=given), given[..., 12:21])
    with pytest.raises(UsageError, match="shape of the measurement"):
        calibration_data(y, operator, given=given[:1])


def test_frames_are_averaged_where_they_were_measured() -> None:
    """Lines taken in turns: together the frames hold all of a static object's k-space."""
    k = torch.randn(2, 3, 1, 10, 12, dtype=torch.complex128)
    mask = torch.zeros(4, 1, 12, dtype=torch.bool)
    for frame in range(4):
        mask[frame, :, frame::3] = True  # frames 0 and 3 measure the same lines
    operator = recon.build("operator", "fourier", mask=mask, time=True)
    y = torch.where(mask, k, 0)
    assert torch.allclose(calibration_data(y, operator), k[:, :, 0])
    whole = recon.build("operator", "fourier", time=True)
    assert torch.allclose(calibration_data(k.expand(-1, -1, 4, -1, -1), whole, width=4), k[:, :, 0, 3:7, 4:8])


def test_other_trajectories_are_gridded_by_conjugate_gradients() -> None:
    """Of an operator without a grid; here one that is unitary, so that one step is exact."""
    blur = recon.build("operator", "gaussian_blur", size=(12, 14), sigma=0.4)
    x = torch.randn(2, 3, 12, 14, dtype=torch.complex128)
    centre = calibration_data(blur(x), blur, width=6, iterations=40)
    assert torch.allclose(centre, fft_centred(x)[..., 3:9, 4:10], atol=1e-6)
