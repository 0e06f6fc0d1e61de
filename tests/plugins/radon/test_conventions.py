"""Scans in the conventions of other packages: against the packages that are here, and against their formulas."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from recon.errors import UsageError
from recon_plugins.radon import (
    FanBeam,
    Grid,
    ParallelBeam,
    Radon,
    RayTransform,
    from_astra,
    from_deepinv,
    from_odl,
    from_skimage,
    from_torch_radon,
    odl_image,
    to_astra,
)

ANGLES = (0.1, 0.9, 1.7, 3.0, 4.4)
FAN = {"source_distance": 30.0, "detector_distance": 12.0}
SCANS = [
    ParallelBeam(ANGLES, 24, 1.3),
    ParallelBeam(ANGLES, 24, 1.3, offset=0.7),
    FanBeam(ANGLES, 24, 1.9, **FAN),
    FanBeam(ANGLES, 24, 1.9, **FAN, offset=-1.1),
    FanBeam(ANGLES, 24, 1.9, **FAN, offset=0.4, tilt=0.2),
]
scans = pytest.mark.parametrize("geometry", SCANS, ids=["parallel", "shifted", "fan", "fan shifted", "fan tilted"])


def smooth(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """A smooth image without symmetry that vanishes at its edges."""
    x = torch.rand(1, 1, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    window = torch.hann_window(height, False, dtype=x.dtype)[:, None] * torch.hann_window(width, False, dtype=x.dtype)
    return torch.nn.functional.avg_pool2d(x * window, 5, 1, 2)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


@scans
def test_astra_dictionaries_return_the_same_scan(geometry: ParallelBeam | FanBeam) -> None:
    grid = Grid((17, 20), (1.1, 0.8), (1.5, -0.6))
    found = from_astra(*to_astra(geometry, grid))
    assert type(found.geometry) is type(geometry)
    np.testing.assert_allclose(np.exp(1j * np.array(found.geometry.angles)), np.exp(1j * np.array(ANGLES)), atol=1e-12)
    for name in ("bins", "bin_size", "offset", "source_distance", "detector_distance", "tilt"):
        assert getattr(found.geometry, name, None) == pytest.approx(getattr(geometry, name, None), abs=1e-9)
    assert found.grid.size == grid.size
    assert found.grid.pixel == pytest.approx(grid.pixel)
    assert found.grid.centre == pytest.approx(grid.centre)


@scans
def test_rays_of_astra_by_its_documented_vectors(geometry: ParallelBeam | FanBeam) -> None:
    """Bin i lies at d + (i - (D - 1) / 2) u; rays come from the source, or run along the first vector."""
    projections, _ = to_astra(geometry, Grid((8, 8)))
    if "Vectors" not in projections:  # ASTRA's own conversion, astra_mex geom_2vec
        t = np.array(ANGLES)
        across, along = np.stack([np.cos(t), np.sin(t)], 1), np.stack([-np.sin(t), np.cos(t)], 1)
        width = projections["DetectorWidth"] * across
        if projections["type"] == "parallel":
            vectors = np.hstack([-along, 0 * along, width])
        else:
            source, distance = (projections[f"DistanceOrigin{end}"] for end in ("Source", "Detector"))
            vectors = np.hstack([-source * along, distance * along, width])
    else:
        vectors = projections["Vectors"]
    first, detector, axis = np.split(vectors, 3, axis=1)
    steps = np.arange(24) - 11.5
    bins = detector[:, None] + steps[:, None] * axis[:, None]
    direction = bins - first[:, None] if isinstance(geometry, FanBeam) else np.broadcast_to(first[:, None], bins.shape)
    origin, along = (value[:, :, 0].numpy() for value in geometry.rays())
    # The same line: both of the other's points lie on it.
    for point in (bins, bins + direction):
        off = point - origin
        np.testing.assert_allclose(off[..., 0] * along[..., 1] - off[..., 1] * along[..., 0], 0, atol=1e-9)


@pytest.mark.parametrize("geometry", SCANS[:4], ids=["parallel", "shifted", "fan", "fan shifted"])
def test_astra_gives_the_same_sinogram(geometry: ParallelBeam | FanBeam) -> None:
    astra = pytest.importorskip("astra", reason="ASTRA, with the CUDA runtime that it loads", exc_type=ImportError)
    x = smooth(30, 26)
    grid = Grid((30, 26), 0.8, (1.5, -0.6))
    projections, volume = to_astra(geometry, grid)
    kernel = {"parallel": "linear", "parallel_vec": "linear"}.get(
        projections["type"], f"line_{projections['type'][:7]}"
    )
    projector = astra.create_projector(kernel, projections, volume)
    _, expected = astra.create_sino(x[0, 0].numpy(), projector)
    y = RayTransform(geometry=geometry, size=(30, 26), pixel=0.8, centre=(1.5, -0.6), rays_per_bin=1)(x)
    # ASTRA has Joseph's kernel for parallel beams only; its other one is exact for square pixels.
    assert relative(torch.from_numpy(expected.copy()), y[0, 0]) < (1e-4 if kernel == "linear" else 0.03)
    astra.clear()


def test_vectors_of_a_detector_turned_against_parallel_rays() -> None:
    """What counts is its width across the rays."""
    theta, turn = 0.6, 0.3
    ray, axis = (-math.sin(theta), math.cos(theta)), (math.cos(theta + turn), math.sin(theta + turn))
    vectors = np.array([[*ray, 5.0, 1.0, 2 * axis[0], 2 * axis[1]]])
    found = from_astra({"type": "parallel_vec", "DetectorCount": 9, "Vectors": vectors}, VOLUME).geometry
    assert found.angles[0] == pytest.approx(theta)
    assert found.bin_size == pytest.approx(2 * math.cos(turn))
    assert found.offset == pytest.approx(5 * math.cos(theta) + math.sin(theta))


VOLUME = {"GridRowCount": 8, "GridColCount": 8}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "strip"}, "not one of"),
        ({"Vectors": [[0, -9, 0, 9, 1, 0], [9.5, 0, -9, 0, 0, 1]]}, "distance of the source differs"),
        ({"Vectors": [[0, -9, 0, 9, -1, 0]]}, "reverse the bins"),
        ({"Vectors": [[0, -9, 0, 9, 1, 0], [9, 0, -9, 0, 0, 2]]}, "width of a bin differs"),
        ({"Vectors": [[0, -9, 0, 9, 1, 0], [9, 0, -9, 1, 0, 1]]}, "offset of the detector differs"),
    ],
)
def test_astra_scans_that_are_none_are_refused(change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        from_astra({"type": "fanflat_vec", "DetectorCount": 9} | change, VOLUME)
    with pytest.raises(UsageError, match="no curved detector"):
        to_astra(FanBeam(ANGLES, 9, 1.0, 20.0, 9.0, detector="curved"), Grid((8, 8)))


def test_torch_radon_defaults_are_its_own() -> None:
    """Version 2: ParallelBeam(det_count, angles, det_spacing=1), FanBeam(..., src_dist, det_dist, det_spacing)."""
    angles = torch.linspace(0, math.pi, 5)[:-1]
    parallel = from_torch_radon(size=16, angles=(0.0, math.pi, 4))
    assert parallel.geometry.bins == 16
    assert parallel.geometry.bin_size == 1
    np.testing.assert_allclose(parallel.geometry.angles, angles.numpy(), atol=1e-6)
    x = smooth(16, 16)
    torch.testing.assert_close(parallel(x), Radon(size=(16, 16), angles=4, bins=16)(x))
    fan = from_torch_radon(size=(16, 20), angles=angles, src_dist=40.0, det_count=30)
    assert (fan.geometry.detector_distance, fan.geometry.bin_size, fan.geometry.bins) == (40.0, 2.0, 30)
    placed = from_torch_radon(size=16, angles=angles, voxel_size=(0.5, 0.4), center=(1.0, 2.0), det_spacing=0.4)
    assert (placed.grid.pixel, placed.grid.centre) == ((0.5, 0.4), (2.0, 1.0))
    # Three listed angles are no range.
    assert from_torch_radon(size=8, angles=[0.0, 1.0, 2.0]).geometry.angles == (0.0, 1.0, 2.0)


def test_odl_images_by_their_coordinates() -> None:
    """f[i, j] at (x_i, y_j), detector cells between det_min and det_max: a point's trace tells all of it."""
    count, (x0, y0), (x1, y1) = (12, 10), (-6.0, -4.0), (6.0, 6.0)
    f = torch.zeros(12, 10, dtype=torch.float64)
    f[9, 2] = 1.0
    point = (x0 + 9.5 * (x1 - x0) / 12, y0 + 2.5 * (y1 - y0) / 10)
    scan = {"min_pt": (x0, y0), "max_pt": (x1, y1), "shape": count, "angles": ANGLES[:3]}
    radon = from_odl(**scan, det_min=-9.0, det_max=11.0, det_count=2000)
    y = radon(odl_image(f)[None, None])[0, 0]
    cells = -9.0 + (torch.arange(2000, dtype=torch.float64) + 0.5) * 20 / 2000
    for row, theta in zip(y, ANGLES, strict=False):
        expected = point[0] * math.cos(theta) + point[1] * math.sin(theta)
        assert float((row * cells).sum() / row.sum()) == pytest.approx(expected, abs=1e-3)
    fan = from_odl(**scan, det_min=-9.0, det_max=11.0, det_count=20, src_radius=50.0, det_radius=9.0, detector="curved")
    assert fan.geometry == FanBeam(ANGLES[:3], 20, 1.0, 50.0, 9.0, 1.0, "curved")


@pytest.mark.parametrize("shape", [(32, 32), (33, 33), (24, 30), (31, 24)])
@pytest.mark.parametrize("circle", [True, False])
@pytest.mark.filterwarnings("ignore:Radon transform. image must be zero")
def test_scikit_image_models_the_same_rays(shape: tuple[int, int], circle: bool) -> None:
    from skimage.transform import radon

    degrees = np.arange(0, 180, 11.25)
    x = smooth(*shape) ** 2
    expected = torch.from_numpy(radon(x[0, 0].numpy(), degrees, circle=circle).T.copy())
    operator = from_skimage(shape=shape, theta=degrees, circle=circle)
    tolerance = 0.01 if not circle or shape[0] == shape[1] else 0.03  # where it cuts the image, skimage loses some
    y = operator(x)[0, 0]
    assert y.shape == expected.shape
    assert relative(y, expected) < tolerance
    if not shape[0] % 2 and not circle:  # half a pixel matters
        centred = operator.with_(centre=(0.0, 0.0))(x)[0, 0]
        assert relative(centred, expected) > 2 * relative(y, expected)


@pytest.mark.parametrize("width", [32, 33, 36])
@pytest.mark.parametrize("circle", [True, False])
def test_deepinv_models_the_same_rays(width: int, circle: bool) -> None:
    package = importlib.util.find_spec("deepinv")
    if package is None or package.origin is None:
        pytest.skip("deepinv is not installed")
    # Only the module of its Radon transform, which needs torch alone; the package needs much more.
    path = Path(package.origin).parent / "physics" / "functional" / "radon.py"
    spec = importlib.util.spec_from_file_location("deepinv_radon", path)
    radon = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(radon)
    x = smooth(width, width) ** 2
    inside = torch.hypot(*torch.meshgrid(*[torch.linspace(-1, 1, width)] * 2, indexing="ij")) < 0.9
    x = x * inside
    angles = torch.linspace(0, 180, 17, dtype=torch.float64)[:-1]
    expected = radon.Radon(width, angles, circle, dtype=torch.float64)(x)[0, 0].T
    operator = from_deepinv(img_width=width, angles=16, circle=circle)
    y = operator(x)[0, 0]
    assert y.shape == expected.shape
    assert relative(y, expected) < 0.01
