"""Flat and dark fields, and the axis of rotation, on made and on real data."""

from __future__ import annotations

import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import recon
from recon.errors import UsageError
from recon_plugins.ct_physics import find_centre, flat_field


def counts(views: int = 5, rows: int = 3, bins: int = 8) -> tuple[torch.Tensor, ...]:
    """Raw counts of a known transmission, flat field, dark field and the transmission."""
    generator = torch.Generator().manual_seed(0)
    flat = 1000 + 500 * torch.rand(rows, bins, generator=generator, dtype=torch.float64)
    dark = 20 + torch.rand(rows, bins, generator=generator, dtype=torch.float64)
    truth = 0.1 + 0.9 * torch.rand(views, rows, bins, generator=generator, dtype=torch.float64)
    return dark + truth * (flat - dark), flat, dark, truth


def test_transmission_comes_back():
    raw, flat, dark, truth = counts()
    found = flat_field(raw, torch.stack([flat - 3, flat + 3]), torch.stack([dark, dark, dark]))
    assert torch.allclose(found.transmission, truth)
    assert found.notes == ()
    assert not found.bad.any()
    assert torch.allclose(found.line_integrals(), -truth.log())
    assert flat_field(raw.round().to(torch.int32), flat).transmission.dtype == torch.float32


def test_a_beam_that_fades():
    _, flat, dark, truth = counts()
    fading = torch.linspace(1, 0.6, 5, dtype=torch.float64).reshape(-1, 1, 1)
    raw = dark + truth * fading * (flat - dark)
    after = dark + 0.6 * (flat - dark)
    assert torch.allclose(flat_field(raw, flat, dark, flat_after=after).transmission, truth)
    assert float((flat_field(raw, flat, dark).transmission - truth).abs().max()) > 0.1


def test_bad_bins_are_counted_and_refused_or_interpolated():
    raw, flat, dark, truth = counts()
    flat[1, 3] = dark[1, 3]
    raw[2, 0, 0], raw[2, 0, 7], raw[4, 2, 4] = math.nan, -1.0, math.inf
    with pytest.raises(UsageError, match="dark field in 1 of 24 detector bins; 3 of 120 counts NaN") as caught:
        flat_field(raw, flat, dark)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="too many to interpolate; check that the flat field was taken with the beam"):
        flat_field(raw, flat, dark, bad="interpolate")  # one bin in 24 is more than one in a hundred
    found = flat_field(raw, flat, dark, bad="interpolate", most=0.1)
    assert int(found.bad.sum()) == 5 + 3
    assert len(found.notes) == 2
    assert torch.allclose(found.transmission[~found.bad], truth[~found.bad])
    assert torch.allclose(found.transmission[:, 1, 3], (truth[:, 1, 2] + truth[:, 1, 4]) / 2)
    assert torch.allclose(found.transmission[4, 2, 4], (truth[4, 2, 3] + truth[4, 2, 5]) / 2)
    assert found.transmission[2, 0, 0] == pytest.approx(float(truth[2, 0, 1]))  # the edges take their neighbour
    assert found.transmission[2, 0, 7] == pytest.approx(float(truth[2, 0, 6]))
    lines = found.line_integrals()
    assert torch.allclose(
        lines[:, 1, 3], -(truth[:, 1, 2] * truth[:, 1, 4]).sqrt().log()
    )  # themselves, not their means


def test_two_bad_bins_in_a_row_are_bridged():
    raw = torch.tensor([[1.0, math.nan, math.nan, 4.0]])
    assert flat_field(raw, torch.ones(4), bad="interpolate", most=0.5).transmission.tolist() == [
        pytest.approx([1.0, 2.0, 3.0, 4.0], rel=1e-6)
    ]


def test_starved_rays_are_noted_not_refused():
    raw, flat, dark, _ = counts()
    raw[0, 0, 0] = 0.0  # a count, below the dark field
    found = flat_field(raw, flat, dark)
    assert found.notes == ("1 of 120 counts at or below the dark field: starved rays",)
    assert float(found.line_integrals(floor=1e-3)[0, 0, 0]) == pytest.approx(math.log(1000))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw, flat, dark: (raw, flat[:, 1:], dark), r"flat field of shape \(3, 7\) does not fit"),
        (lambda raw, flat, dark: (raw, flat, dark[:2]), "dark field of shape"),
        (lambda raw, flat, dark: (raw[0, 0], flat, dark), "raw counts are real"),
        (lambda raw, flat, dark: (raw, 0 * flat, 0 * dark), "24 of 24 detector bins"),
        (lambda raw, flat, dark: (raw, math.nan * flat, dark), "24 of 24 detector bins"),
    ],
)
def test_bad_fields(change, message):
    with pytest.raises(UsageError, match=message):
        flat_field(*change(*counts()[:3]))


def test_a_dead_line_cannot_be_interpolated():
    raw, flat, dark, _ = counts()
    flat[1] = 0
    with pytest.raises(UsageError, match="no good bin at all"):
        flat_field(raw, flat, dark, bad="interpolate", most=0.5)


def phantom(views: int, span: float, offset: float, bins: int = 101) -> tuple[torch.Tensor, torch.Tensor]:
    """Line integrals of two disks, in closed form, on a detector with that offset in bins."""
    theta = torch.arange(views, dtype=torch.float64) * (span / views)
    t = torch.arange(bins, dtype=torch.float64) - (bins - 1) / 2 + offset
    y = torch.zeros(views, bins, dtype=torch.float64)
    for x0, y0, radius, value in ((4.0, -6.0, 22.0, 0.02), (-9.0, 8.0, 6.0, 0.03)):
        s = t - x0 * theta.cos()[:, None] - y0 * theta.sin()[:, None]
        y += 2 * value * (radius**2 - s**2).clamp(min=0).sqrt()
    return y, theta


@pytest.mark.parametrize("offset", [0.0, 3.3, -7.5])
@pytest.mark.parametrize(
    ("span", "method", "tolerance"),
    [(2 * math.pi, "auto", 0.05), (math.pi, "auto", 0.25)],
)
def test_the_axis_of_a_phantom_is_found(offset, span, method, tolerance):
    y, theta = phantom(60, span, offset)
    assert find_centre(y, theta, method=method) == pytest.approx(offset, abs=tolerance)
    assert find_centre(y, theta, method=method, bin_size=0.5) == pytest.approx(offset / 2, abs=tolerance)


@pytest.mark.parametrize(("span", "last"), [(math.pi, True), (math.pi, False), (2 * math.pi, False)])
@pytest.mark.parametrize("offset", [6.3, 0.0, -8.5])
def test_opposite_views_in_any_order_between_views_and_one_step_on(span, last, offset):
    order = torch.randperm(90, generator=torch.Generator().manual_seed(0))
    y, theta = phantom(90 - last, span, offset)
    if last:
        opposite = phantom(2, 2 * math.pi, offset)[0][1:]
        y, theta = torch.cat([y, opposite]), torch.cat([theta, theta.new_tensor([math.pi])])
    assert find_centre(y[order], theta[order], method="opposite") == pytest.approx(offset, abs=0.1)


def test_a_gap_of_the_scan_is_not_interpolated():
    y, theta = phantom(180, 2 * math.pi, 4.0)
    seen = (theta <= 1.2) | (theta >= 4.0)  # hardly any partners, none across the gap
    assert find_centre(y[seen], theta[seen], method="opposite") == pytest.approx(4.0, abs=0.1)


def test_a_cropped_coarse_detector_keeps_the_axis():
    y, theta = phantom(60, math.pi, 5.0, bins=389)  # brought down by two, one bin left over
    assert find_centre(y, theta, method="negative", reach=15) == pytest.approx(5.0, abs=0.4)


def test_bad_input_of_the_axis():
    y, theta = phantom(60, math.pi, 3.0)  # steps of 3 degrees are too coarse for an opposite one in between
    with pytest.raises(UsageError, match="no two views are half a turn apart"):
        find_centre(y, theta, method="opposite")
    with pytest.raises(UsageError, match="less than half a turn"):
        find_centre(y[:30], theta[:30])
    with pytest.raises(UsageError, match="of 59 angles"):
        find_centre(y, theta[:59])
    with pytest.raises(UsageError, match="not finite"):
        find_centre(torch.full_like(y, math.nan), theta)
    with pytest.raises(UsageError, match="larger reach"):
        find_centre(*phantom(60, 2 * math.pi, 8.0), reach=4)


def test_real_tooth(shared_data: Path):
    """Synchrotron scan whose axis its publishers give as column 296 of 640: 23.5 bins off the middle."""
    path = shared_data / "ct_projections" / "tomopy_tooth" / "tooth.h5"
    if not path.is_file():
        pytest.skip("the tooth is not here")
    with h5py.File(path) as file:
        names = ("data", "data_white", "data_dark", "theta")
        raw, flat, dark, theta = (torch.from_numpy(file["exchange"][name][()]) for name in names)
    corrected = flat_field(raw, flat, dark)
    assert corrected.notes == ()
    y = corrected.line_integrals()
    air = y[..., -10:]
    assert abs(float(air.mean())) < 0.01  # nothing beside the tooth
    offset = find_centre(y[:, :1], torch.deg2rad(theta), reach=60)
    assert offset == pytest.approx(23.5, abs=0.5)

    def negative(offset: float) -> float:
        config = {"use": "radon", "size": [160, 160], "angles": torch.deg2rad(theta).tolist(), "bins": 160}
        radon = recon.build("operator", {**config, "offset": offset / 4})
        x = recon.build("method", "fbp")(y[:, 0].unflatten(-1, (160, 4)).mean(-1)[None, None], radon)
        return float(x.clamp(max=0).sum().neg())

    assert negative(offset) < 0.25 * negative(0.0)


def test_real_dead_pixel_and_axis(shared_data: Path):
    """Synchrotron scan with opposite views and one dead pixel; its README states an axis about 7 bins off."""
    folder = shared_data / "ct_projections" / "savu_24737"
    if not folder.is_dir():
        pytest.skip("the scan is not here")

    def picture(name: str) -> torch.Tensor:
        return torch.from_numpy(np.asarray(Pillow.open(folder / name)).astype(np.float32))

    paths = sorted(path.name for path in (folder / "tiffs").glob("*.tiff"))
    raw = torch.stack([picture(f"tiffs/{name}") for name in paths])
    flat, dark = picture("flat_00001.tiff"), picture("dark_00001.tiff")
    with pytest.raises(UsageError, match="in 1 of 21600 detector bins"):
        flat_field(raw, flat, dark)
    corrected = flat_field(raw, flat, dark, bad="interpolate")
    assert int(corrected.bad.sum()) == len(raw)
    y = corrected.line_integrals()
    assert y.isfinite().all()
    assert torch.allclose(y[:, 0, 0], y[:, 0, 1])
    angles = np.unique(np.loadtxt(folder / "angles.txt").round(2))
    assert find_centre(y, torch.deg2rad(torch.from_numpy(angles))) == pytest.approx(-6.5, abs=0.75)
