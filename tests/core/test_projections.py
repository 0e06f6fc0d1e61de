"""Counts, angles and TIFF frames of projection files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recon.errors import FileFormatError
from recon.io.projections import line_integrals, natural_order, radians, read_tiff, within_a_turn
from recon.testing.ellipsoids import Ellipsoid, chords, values_at


def test_line_integrals_are_beer_and_lamberts():
    y = np.random.default_rng(0).uniform(0, 3, (4, 3, 5))
    gain = np.linspace(1000, 2000, 15).reshape(3, 5)
    dark = np.full((2, 3, 5), 50.0)
    values, notes = line_integrals(gain * np.exp(-y) + 50, np.stack([gain + 40, gain + 60]), dark, "scan")
    assert values.dtype == np.float32
    assert notes == ()
    np.testing.assert_allclose(values, y, atol=1e-5)


def test_starved_rays_have_a_floor_that_is_told():
    counts, flat, dark = np.array([[10.0, 200.0]]), np.array([100.0, 100.0]), np.array([20.0, 0.0])
    values, notes = line_integrals(counts, flat, dark, "scan")
    assert values[0].tolist() == pytest.approx([-math.log(1e-4), -math.log(2)], rel=1e-5)
    assert "1 of 2 transmissions below 0.0001 were set to it" in notes
    values, notes = line_integrals(counts, flat, dark, "scan", floor=1e-6)
    assert values[0, 0] == pytest.approx(-math.log(1e-6), rel=1e-5)


def test_dead_pixels_at_edges_and_in_runs():
    counts = np.exp(-np.tile(np.arange(400.0), (2, 1)) / 100)
    flat = np.ones(400)
    flat[[0, 1, 7]] = 0
    values, notes = line_integrals(counts, flat, None, "scan")
    expected = np.arange(400) / 100
    expected[:2] = 0.02  # the nearest living one
    np.testing.assert_allclose(values, np.tile(expected, (2, 1)), atol=1e-5)
    assert notes == ("flat field not above the dark field in 3 of 400 detector bins: interpolated along the detector",)
    flat[:20] = 0
    with pytest.raises(FileFormatError, match=r"20 of 400 detector bins: .*check that the flat field was taken with"):
        line_integrals(counts, flat, None, "scan")


@pytest.mark.parametrize(
    ("unit", "values", "expected"),
    [
        ("degrees", [0.0, 90.0], [0, math.pi / 2]),
        ("rad", [0.0, 0.5], [0, 0.5]),
        (None, [0.0, 100.0, 200.0], np.deg2rad([0, 100, 200])),
        ("auto", np.linspace(0, math.pi, 30), np.linspace(0, math.pi, 30)),
    ],
)
def test_radians(unit, values, expected):
    np.testing.assert_allclose(radians(values, unit, "scan")[0], expected)


def test_angles_are_brought_within_a_turn():
    assert within_a_turn(np.array([-6.0, 0.0, 2 * math.pi, 7.0])) == pytest.approx(
        [-6, 0, 2 * math.pi, 7 - 2 * math.pi]
    )


def test_tiff_values_are_kept(tmp_path):
    for name, values in (("a", np.array([[0, 65535, 7]], "u2")), ("b", np.array([[-1.5, 3e7]], "f4"))):
        Image.fromarray(values).save(tmp_path / f"{name}.tif")
        read = read_tiff(tmp_path / f"{name}.tif")
        assert read.tolist() == values.tolist()
    pages = [Image.fromarray(np.full((2, 3), n, "u2")) for n in range(3)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    assert read_tiff(tmp_path / "stack.tif").tolist() == np.arange(3)[:, None, None].repeat(2, 1).repeat(3, 2).tolist()
    with pytest.raises(FileFormatError, match="does not exist"):
        read_tiff(tmp_path / "none.tif")


def test_numbers_in_names_count():
    names = [Path("raw_10.tif"), Path("raw_9.tif"), Path("raw_100.tif")]
    assert [path.name for path in natural_order(names)] == ["raw_9.tif", "raw_10.tif", "raw_100.tif"]


def test_chords_equal_sums_of_values():
    shapes = [Ellipsoid(2.0, (1.0, -2.0, 0.5), (4.0, 3.0, 2.0), 0.6), Ellipsoid(-1.0, (0.0, 0.0, 0.0), (1.0, 2.0, 3.0))]
    origin, direction = np.array([0.3, -0.4, 0.2]), np.array([2.0, 1.0, -0.5])
    direction /= np.linalg.norm(direction)
    steps = np.linspace(-10, 10, 200001)
    total = values_at(shapes, origin + steps[:, None] * direction).sum() * (steps[1] - steps[0])
    far = origin - 1e5 * direction
    assert float(chords(shapes, far, direction)) == pytest.approx(total, rel=1e-3)
