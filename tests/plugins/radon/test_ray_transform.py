"""Any geometry on any grid, against Joseph's model written out ray by ray, and against closed forms."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

import recon
from recon.errors import UsageError
from recon_plugins.radon import FanBeam, Grid, ParallelBeam, RayTransform

ANGLES = (0.0, 0.4, math.pi / 2, 2.6, 3.9, -1.1)
FAN = {"bins": 11, "bin_size": 1.3, "source_distance": 14.0, "detector_distance": 6.0}
CASES = {
    "parallel": (ParallelBeam(ANGLES, 12, 0.9, offset=0.4), (7, 9), (1.2, 0.8), (1.0, -0.5)),
    "flat": (FanBeam(ANGLES, **FAN), (8, 6), (0.7, 1.1), (-0.6, 0.9)),
    "curved": (FanBeam(ANGLES, **FAN, detector="curved", offset=0.6), (7, 8), (0.9, 0.9), (0.3, 0.0)),
    "tilted": (FanBeam(ANGLES, **FAN, tilt=0.35, offset=-0.8), (8, 8), (1.0, 1.0), (0.0, 0.0)),
    "tilted the other way": (FanBeam(ANGLES, **FAN, tilt=-0.6), (6, 9), (1.0, 1.3), (0.5, 0.5)),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def operator(case: tuple) -> RayTransform:
    geometry, size, pixel, centre = case
    return RayTransform(geometry=geometry, size=size, pixel=pixel, centre=centre, rays_per_bin=1)


def two_points(geometry: ParallelBeam | FanBeam, theta: float, t: float) -> tuple[np.ndarray, np.ndarray]:
    """Two points of a ray in mm, by turning the picture of view 0: x across, y from the source to the detector."""
    if isinstance(geometry, ParallelBeam):
        start, end = np.array([t, -1.0]), np.array([t, 1.0])
    else:
        start = np.array([0.0, -geometry.source_distance])
        if geometry.detector == "flat":
            along = np.array([math.cos(geometry.tilt), math.sin(geometry.tilt)])
            end = np.array([0.0, geometry.detector_distance]) + t * along
        else:
            length = geometry.source_distance + geometry.detector_distance
            end = start + length * np.array([math.sin(t / length), math.cos(t / length)])
    turn = np.array([[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]])
    return turn @ start, turn @ end


def joseph(geometry: ParallelBeam | FanBeam, size: tuple, pixel: tuple, centre: tuple) -> np.ndarray:
    """The matrix: interpolation between the two nearest pixels of every line that the ray crosses the more steeply."""
    (height, width), (dy, dx) = size, pixel
    x = [centre[0] + (j - (width - 1) / 2) * dx for j in range(width)]
    y = [centre[1] + ((height - 1) / 2 - i) * dy for i in range(height)]
    matrix = np.zeros((len(geometry.angles), geometry.bins, height, width))
    for a, theta in enumerate(geometry.angles):
        for b in range(geometry.bins):
            t = (b - (geometry.bins - 1) / 2) * geometry.bin_size + geometry.offset
            p, q = two_points(geometry, theta, t)
            d = (q - p) / np.linalg.norm(q - p)
            for i in range(height):
                for j in range(width):
                    if abs(d[1]) / dy >= abs(d[0]) / dx - 1e-12:
                        off, length = (p[0] + (y[i] - p[1]) * d[0] / d[1] - x[j]) / dx, dy / abs(d[1])
                    else:
                        off, length = (p[1] + (x[j] - p[0]) * d[1] / d[0] - y[i]) / dy, dx / abs(d[0])
                    matrix[a, b, i, j] = max(0, 1 - abs(off)) * length
    return matrix.reshape(-1, height * width)


@cases
def test_equals_josephs_model_written_out(case: tuple) -> None:
    transform, expected = operator(case), joseph(*case)
    np.testing.assert_allclose(transform.matrix().numpy(), expected, atol=1e-11)
    np.testing.assert_allclose(transform.H.matrix().numpy(), expected.T, atol=1e-11)
    x = torch.randn(3, 1, *case[1], generator=torch.Generator().manual_seed(0))
    y = torch.from_numpy(x.double().flatten(1).numpy() @ expected.T).view(3, 1, *transform.sinogram_size)
    assert torch.linalg.vector_norm(transform(x) - y) < 1e-6 * torch.linalg.vector_norm(y)


@cases
def test_views_are_those_rows_of_the_sinogram(case: tuple) -> None:
    transform = operator(case)
    index = [4, 0, 3]
    part = transform.views(index)
    x = torch.randn(2, 1, *case[1], dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(part(x), transform(x)[:, :, index], rtol=1e-12, atol=1e-12)
    assert part.geometry == dataclasses.replace(transform.geometry, angles=tuple(ANGLES[i] for i in index))
    subsets = [[0, 2, 4], [1, 3, 5]]
    y = transform(x)
    total = sum(transform.views(s).adjoint(y[:, :, s]) for s in subsets)
    torch.testing.assert_close(total, transform.adjoint(y))


@pytest.mark.parametrize("name", ["parallel", "flat", "curved", "tilted"])
def test_analytic_ellipse_on_oblong_pixels_off_the_centre(name: str) -> None:
    """Chords of an ellipse in mm, by its own coordinates, averaged over the bins."""
    fan = {"bins": 220, "bin_size": 0.75, "source_distance": 120.0, "detector_distance": 60.0}
    geometry = {
        "parallel": ParallelBeam(tuple(np.arange(10) * math.pi / 10 + 0.1), 200, 0.5, offset=1.0),
        "flat": FanBeam(tuple(np.arange(12) * math.pi / 6 + 0.1), **fan),
        "curved": FanBeam(tuple(np.arange(12) * math.pi / 6 + 0.1), **fan, detector="curved"),
        "tilted": FanBeam(tuple(np.arange(12) * math.pi / 6 + 0.1), **fan, tilt=0.2),
    }[name]
    size, pixel, centre, fine, samples = (140, 130), (0.35, 0.45), (3.0, -2.0), 8, 4
    a, b, middle, turn = 14.0, 9.0, np.array([5.0, -4.0]), 0.6
    x = centre[0] + (np.arange(130 * fine) - (130 * fine - 1) / 2) * pixel[1] / fine - middle[0]
    y = centre[1] + ((140 * fine - 1) / 2 - np.arange(140 * fine))[:, None] * pixel[0] / fine - middle[1]
    u, v = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    inside = torch.from_numpy(((u / a) ** 2 + (v / b) ** 2 <= 1).astype(np.float32))
    image = torch.nn.functional.avg_pool2d(inside[None, None], fine)
    axes = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]) / np.array([[a], [b]])
    expected = np.zeros((len(geometry.angles), geometry.bins))
    for row, theta in zip(expected, geometry.angles, strict=True):
        for i in range(geometry.bins):
            t = [(i - (geometry.bins - 1) / 2 + (k + 0.5) / samples - 0.5) * geometry.bin_size for k in range(samples)]
            p, q = np.array([two_points(geometry, theta, at + geometry.offset) for at in t]).transpose(1, 2, 0)
            e, d = axes @ (p - middle[:, None]), axes @ (q - p) / np.linalg.norm(q - p, axis=0)
            dd = (d * d).sum(0)
            root = (e * d).sum(0) ** 2 - dd * ((e * e).sum(0) - 1)
            row[i] = (2 * np.sqrt(root.clip(0)) / dd).mean()
    y = RayTransform(geometry=geometry, size=size, pixel=pixel, centre=centre)(image)[0, 0].double()
    expected = torch.from_numpy(expected)
    assert torch.linalg.vector_norm(y - expected) < 0.0072 * torch.linalg.vector_norm(expected)


def test_moving_the_image_is_moving_the_object() -> None:
    """A pixel is seen where its own place in mm says, whatever grid it belongs to."""
    geometry = FanBeam(ANGLES, 41, 0.8, 30.0, 10.0)
    whole = RayTransform(geometry=geometry, size=(20, 24), pixel=(0.5, 0.7))
    x = torch.zeros(1, 1, 20, 24, dtype=torch.float64)
    x[..., 3:9, 14:22] = torch.rand(6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    rows, columns = whole.grid.coordinates()[1][3:9], whole.grid.coordinates()[0][14:22]
    centre = (float(columns.mean()), float(rows.mean()))
    part = RayTransform(geometry=geometry, size=(6, 8), pixel=(0.5, 0.7), centre=centre)
    torch.testing.assert_close(part(x[..., 3:9, 14:22].contiguous()), whole(x))


def test_a_tilt_moves_bins_out_of_the_straight_detector() -> None:
    straight, tilted = FanBeam((0.0,), 5, 2.0, 10.0, 5.0), FanBeam((0.0,), 5, 2.0, 10.0, 5.0, tilt=0.3)
    expected = [math.atan2(t * math.cos(0.3), 15 + t * math.sin(0.3)) for t in (-4.0, -2.0, 0.0, 2.0, 4.0)]
    torch.testing.assert_close(tilted.fan_angles(tilted.positions()), torch.tensor(expected, dtype=torch.float64))
    assert straight.symmetric
    assert not tilted.symmetric


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        ({"angles": [0.0], "bins": 4}, "bin_size missing"),
        ({"angles": [0.0], "bins": 4, "bin_size": 1.0, "bin_width": 2.0}, "bin_width is unknown.*bin_size"),
        ({"angles": [0.0], "bins": 4, "bin_size": 1.0, "source_distance": 9.0}, "detector_distance missing"),
        ({"angles": [0.0], "bins": 4, "bin_size": 1.0, "detector_distance": 9.0}, "detector_distance is unknown"),
        ({"angles": [0, 1, 2, 3, 4, 5], "bins": 4, "bin_size": 1.0}, "steps of exactly 1 look like degrees"),
        ({"angles": [0.0], **FAN, "tilt": 1.6}, "tilt"),
        ({"angles": [0.0], **FAN, "tilt": 0.1, "detector": "curved"}, "not tilted"),
        ({"angles": [0.0], **FAN, "bins": 100, "tilt": 0.5}, "behind the source"),
    ],
)
def test_geometries_that_cannot_be_are_explained(geometry: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recon.build("operator", "ray_transform", geometry=geometry, size=[8, 8])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((4, 4), (1.0, 0.0)), "positive"),
        (((4, 0),), "positive"),
        (((4, 4), (1.0, 1.0, 1.0)), "same length"),
        (((4, 4), 1.0, (0.0, math.nan)), "finite"),
    ],
)
def test_grids_that_cannot_be_are_explained(arguments: tuple, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Grid(*arguments)
