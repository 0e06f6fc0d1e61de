"""Projectors in space against an independent dense matrix, exact line integrals, and the two-dimensional ones."""

from __future__ import annotations

import copy
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import recon
from recon.errors import UsageError
from recon.testing.ellipsoids import Ellipsoid
from recon_plugins.radon import ConeBeam, ConeBeamRadon, FanBeamRadon, Parallel3D, Radon, Radon3D, VolumeTransform
from recon_plugins.radon.cone_sparse import SparseVolumeProjector

from .volumes import gap, joseph, projected, randn, relative, sampled

SCAN = {"source_distance": 20.0, "detector_distance": 12.0}
ODD = {"size": (5, 6, 7), "pixel": (0.9, 0.7, 0.8), "centre": (0.4, -0.3, 0.5)}
GEOMETRIES = {
    "flat": ConeBeam((0.0, 0.5, 2.0, 4.0), (6, 7), (1.3, 1.1), **SCAN, offset=(0.4, -0.6)),
    "curved": ConeBeam((0.3, math.pi / 4, 5.0), (6, 7), (1.3, 1.1), **SCAN, offset=(0.4, -0.6), detector="curved"),
    "helix": ConeBeam((0.1, 3.0, 7.1, 11.3), (4, 7), 1.2, **SCAN, pitch=1.7),
    "heights": ConeBeam((0.1, 3.0), (4, 7), 1.2, **SCAN, heights=(-1.0, 0.8), detector="curved"),
    "yaw": ConeBeam((0.1, 2.2), (5, 6), 1.3, **SCAN, tilt=(0.25, 0.0, 0.0)),
    "yaw, pitch, roll": ConeBeam((0.1, 2.2), (5, 6), 1.3, **SCAN, tilt=(0.25, -0.2, 0.3)),
    "wide": ConeBeam((0.4, 2.2), (9, 3), (5.0, 1.1), **SCAN),
    "fine rows": ConeBeam((0.4, 2.2), (19, 4), (0.45, 1.1), **SCAN),
    "coarse rows": ConeBeam((0.4, 2.2), (4, 4), (4.5, 1.1), **SCAN),
    "coarsest rows": ConeBeam((0.4,), (3, 4), (20.0, 1.1), 20.0, 40.0),
    "parallel": Parallel3D((0.3, 1.9, 4.0), (6, 9), (0.8, 0.9), (0.2, -0.4)),
    "parallel, tilted": Parallel3D((0.3, 1.9), (6, 7), (0.8, 0.9), (0.2, -0.4), tilt=(0.2, 0.4, -0.3)),
}


def transform(name: str, **changes: object) -> VolumeTransform:
    return VolumeTransform(**{"geometry": GEOMETRIES[name], **ODD, "rays_per_bin": 1, **changes})


@pytest.fixture(scope="module")
def dense() -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(joseph(g, transform(name).grid)) for name, g in GEOMETRIES.items()}


@pytest.mark.parametrize("backend", ["sparse", "auto"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_equals_an_independent_dense_matrix(
    name: str, dtype: torch.dtype, backend: str, dense: dict[str, torch.Tensor]
) -> None:
    operator, matrix = transform(name, backend=backend), dense[name]
    x = randn(3, 1, *operator.size, dtype=dtype)
    y = randn(3, 1, *operator.sinogram_size, dtype=dtype, seed=1)
    tolerance = 1e-12 if dtype == torch.float64 else 5e-7
    assert relative(operator(x).flatten(1), x.double().flatten(1) @ matrix.T) < tolerance
    assert relative(operator.adjoint(y).flatten(1), y.double().flatten(1) @ matrix) < tolerance


@pytest.mark.parametrize("name", GEOMETRIES)
def test_adjoint_is_matched(name: str) -> None:
    for backend in ("auto", "sparse"):
        operator = transform(name, backend=backend)
        assert gap(operator, torch.float32) <= 1e-7
        assert gap(operator, torch.float64) <= 1e-14


def test_matched_on_volumes_of_many_vectors() -> None:
    operator = ConeBeamRadon(
        size=(75, 31, 44), pixel=(0.7, 1.0, 0.9), angles=[0.2, 1.0, 2.9, 5.0], bins=(150, 70), bin_size=(0.9, 1.5),
        source_distance=60.0, detector_distance=30.0, offset=(2.0, -3.0),
    )  # fmt: skip
    assert gap(operator, torch.float32, batch=1) <= 1e-7
    x, y = randn(1, 1, *operator.size), randn(1, 1, *operator.sinogram_size, seed=1)
    assert relative(operator(x.float()), operator(x)) < 1e-6
    assert relative(operator.adjoint(y.float()), operator.adjoint(y)) < 1e-6


def test_conventions_with_a_single_voxel() -> None:
    """A voxel to the right, in front (low on the page) and high up shows where the documentation says."""
    x = torch.zeros(1, 1, 5, 7, 7, dtype=torch.float64)
    x[0, 0, 4, 3, 5] = 1  # z = 2, y = 0, x = 2
    level = Radon3D(size=(5, 7, 7), angles=[0.0], bins=(5, 7))(x)[0, 0, 0]
    assert level.nonzero().tolist() == [[4, 5]]
    cone = ConeBeamRadon(size=(5, 7, 7), angles=[0.0, math.pi], source_distance=50.0, detector_distance=50.0,
                         bins=(81, 81), bin_size=0.25)  # fmt: skip
    rows, columns = cone.geometry.positions()
    y = cone(x)[0, 0]
    mean_row, mean_column = (y.sum(2) @ rows) / y.sum((1, 2)), (y.sum(1) @ columns) / y.sum((1, 2))
    torch.testing.assert_close(mean_row, torch.full((2,), 4.0).double(), rtol=0.01, atol=0)
    torch.testing.assert_close(mean_column, torch.tensor([4.0, -4.0]).double(), rtol=0.01, atol=0)
    # Nearer to the source, which stands below the page at first, it is magnified more.
    near = torch.zeros_like(x)
    near[0, 0, 4, 6, 5] = 1
    y = cone(near)[0, 0, 0]
    assert float((y.sum(1) @ rows) / y.sum()) == pytest.approx(2 * 100 / 47, rel=0.01)


def test_the_middle_row_is_the_fan_beam() -> None:
    scan = {"angles": [0.1, 0.8, 2.0, 4.4], "source_distance": 40.0, "detector_distance": 20.0}
    x = randn(1, 1, 3, 20, 17)
    for detector in ("flat", "curved"):
        fan = FanBeamRadon(size=(20, 17), bins=30, bin_size=1.3, offset=0.4, detector=detector, **scan)
        cone = ConeBeamRadon(size=(3, 20, 17), bins=(5, 30), bin_size=1.3, offset=(0.0, 0.4), detector=detector, **scan)
        torch.testing.assert_close(cone(x)[:, :, :, 2], fan(x[:, :, 1]), rtol=1e-10, atol=1e-10)


def test_rows_of_the_parallel_beam_are_radon_transforms() -> None:
    x = randn(2, 1, 4, 9, 12, dtype=torch.float32)
    space, plane = Radon3D(size=(4, 9, 12), angles=11), Radon(size=(9, 12), angles=11)
    expected = torch.stack([plane(x[:, :, k]) for k in range(4)], 3)
    torch.testing.assert_close(space(x), expected, rtol=1e-6, atol=1e-5)
    # Rows half-way between slices see their mean, those at the ends half of one.
    between = Radon3D(size=(4, 9, 12), angles=11, bins=(5, 15), offset=(0.0, 0.0))
    padded = torch.nn.functional.pad(x, (0, 0, 0, 0, 1, 1))
    mean = torch.stack([plane((padded[:, :, k] + padded[:, :, k + 1]) / 2) for k in range(5)], 3)
    torch.testing.assert_close(between(x), mean, rtol=1e-6, atol=1e-5)


def test_a_distant_source_gives_the_parallel_beam() -> None:
    x = randn(1, 1, 5, 9, 12)
    level = Radon3D(size=(5, 9, 12), angles=[0.0, 0.7, 2.0], bins=(5, 15))
    far = ConeBeamRadon(size=(5, 9, 12), angles=[0.0, 0.7, 2.0], bins=(5, 15), bin_size=1.0, source_distance=1e9,
                        detector_distance=0.0)  # fmt: skip
    torch.testing.assert_close(far(x), level(x), atol=1e-5, rtol=0)


BALL = [Ellipsoid(0.02, (3.0, -2.0, 1.5), (14.0, 10.0, 12.0), 0.4)]


@pytest.mark.parametrize(
    ("geometry", "limit"),
    [
        (ConeBeam(tuple(0.7 * k for k in range(8)), (72, 76), 1.0, 100.0, 60.0), 0.018),
        (ConeBeam(tuple(0.7 * k for k in range(8)), (72, 76), 1.0, 100.0, 60.0, detector="curved"), 0.018),
        (ConeBeam(tuple(0.7 * k for k in range(24)), (40, 76), 1.0, 100.0, 60.0, pitch=10.0, detector="curved"), 0.018),
        (ConeBeam(tuple(0.7 * k for k in range(8)), (72, 80), 1.0, 100.0, 60.0, tilt=(0.1, 0.15, 0.2)), 0.018),
        (Parallel3D(tuple(0.4 * k for k in range(8)), (44, 48), 0.8), 0.012),
        (ConeBeam(tuple(0.7 * k for k in range(8)), (24, 26), 3.0, 100.0, 60.0), 0.013),
    ],
    ids=["flat", "curved", "helix", "tilted", "parallel", "coarse bins"],
)
def test_exact_line_integrals_of_an_ellipsoid(geometry: ConeBeam | Parallel3D, limit: float) -> None:
    operator = VolumeTransform(geometry=geometry, size=(50, 52, 56), pixel=(0.75, 0.7, 0.7))
    exact = projected(BALL, geometry)
    assert relative(operator(sampled(BALL, operator.grid).float()), exact) < limit


def test_coarse_bins_average_their_rays() -> None:
    operator = ConeBeamRadon(size=(6, 7, 8), angles=3, bin_size=(3.5, 4.0), **SCAN)
    assert operator.per_bin == (5, 5)
    one = VolumeTransform(geometry=operator.geometry.finer(5, 5), size=(6, 7, 8), rays_per_bin=1)
    x = randn(1, 1, 6, 7, 8)
    rows, columns = operator.geometry.bins
    expected = one(x).reshape(1, 1, 3, rows, 5, columns, 5).mean((4, 6))
    torch.testing.assert_close(operator(x), expected)
    assert gap(operator, torch.float64) < 1e-14


def test_default_detector_sees_the_whole_volume() -> None:
    x = torch.ones(1, 1, 6, 8, 8)
    for detector in ("flat", "curved"):
        operator = ConeBeamRadon(size=(6, 8, 8), angles=8, detector=detector, centre=(1.0, 0.0, 0.5), **SCAN)
        y = operator(x)
        rows, columns = operator.geometry.bins
        wider = operator.with_(bins=(rows + 6, columns + 6))(x)
        assert float(wider.sum() - y.sum()) < 0.02 * float(y.sum())
        assert float(y[:, :, :, [0, -1]].sum()) < 0.05 * float(y.sum())


def test_views() -> None:
    helix = ConeBeamRadon(size=(4, 6, 6), angles=[0.1 * k for k in range(100)], bins=(4, 9), pitch=2.0, **SCAN)
    x = randn(1, 1, 4, 6, 6)
    index = [0, 50, 99]
    torch.testing.assert_close(helix.views(index)(x), helix(x)[:, :, index])
    listed = transform("heights")
    torch.testing.assert_close(
        listed.views([1])(x := randn(1, 1, *listed.size)), listed(x)[:, :, 1:], rtol=1e-12, atol=1e-12
    )
    sparse = recon.build("operator", "sparse_views", views=100, index=index)
    torch.testing.assert_close((sparse @ helix)(x := randn(1, 1, 4, 6, 6)), helix(x)[:, :, index])


def test_gradients_of_any_order() -> None:
    operator = ConeBeamRadon(size=(2, 3, 4), angles=2, bins=(3, 4), **SCAN)
    x, y = randn(1, 1, 2, 3, 4).requires_grad_(), randn(1, 1, 2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(operator, x)
    assert torch.autograd.gradcheck(operator.adjoint, y)
    assert torch.autograd.gradgradcheck(lambda x: operator(x) ** 2, x)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_under_torch_compile() -> None:
    operator = ConeBeamRadon(size=(2, 3, 4), angles=2, bins=(3, 4), **SCAN)
    x = randn(1, 1, 2, 3, 4).requires_grad_()
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: (operator(x) ** 2).sum(), backend="aot_eager", fullgraph=True)
    (gradient,) = torch.autograd.grad(compiled(x), x)
    torch.testing.assert_close(gradient, 2 * operator.adjoint(operator(x)))
    torch._dynamo.reset()


def test_the_result_does_not_depend_on_threads() -> None:
    operator = ConeBeamRadon(size=(21, 30, 26), angles=20, source_distance=60.0, detector_distance=30.0)
    x, threads = randn(2, 1, 21, 30, 26, dtype=torch.float32), torch.get_num_threads()
    y = operator(x)
    back = operator.adjoint(y)
    try:
        torch.set_num_threads(3)
        assert torch.equal(operator(x), y)
        assert torch.equal(operator.adjoint(y), back)
    finally:
        torch.set_num_threads(threads)


def test_tables_stay_out_of_pickles_and_copies() -> None:
    operator = transform("curved")
    x = randn(1, 1, *operator.size, dtype=torch.float32)
    y = operator(x)
    data = pickle.dumps(operator)
    assert len(data) < 10_000
    for other in (pickle.loads(data), copy.deepcopy(operator), operator.with_()):
        assert torch.equal(other(x), y)
    assert operator(x[:0]).shape == (0, 1, *operator.sinogram_size)


def test_geometry_given_as_a_mapping() -> None:
    mapping = {"angles": [0.0, 1.0], "bins": [4, 5], "bin_size": 1.2, "source_distance": 20, "detector_distance": 12}
    operator = recon.build("operator", "volume_transform", geometry=mapping, size=[3, 4, 5])
    assert operator.geometry == ConeBeam((0.0, 1.0), (4, 5), (1.2, 1.2), 20, 12)
    with pytest.raises(UsageError, match=r"geometry: sorce_distance is unknown.*source_distance"):
        VolumeTransform(geometry={**mapping, "sorce_distance": 3.0}, size=(3, 4, 5))
    with pytest.raises(UsageError, match="geometry: bins, bin_size missing"):
        VolumeTransform(geometry={"angles": [0.0]}, size=(3, 4, 5))


DEGREES = [float(k) for k in range(0, 1080, 10)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"angles": DEGREES[:30]}, "look like degrees"),
        ({"angles": DEGREES, "pitch": 3.0}, "in steps of 10 look like degrees"),
        ({"angles": ()}, "list of finite angles"),
        ({"bins": (0, 4)}, "bins >= 1"),
        ({"bin_size": (1.0, -1.0)}, "bin_size > 0"),
        ({"bins": (1, 2, 3)}, "one number or two"),
        ({"source_distance": 0.0}, "source_distance must be positive"),
        ({"detector": "bent"}, "must be 'flat' or 'curved'"),
        ({"detector": "curved", "tilt": (0.1, 0.0, 0.0)}, "curved detector is not tilted"),
        ({"detector": "curved", "bins": (3, 200)}, "half a turn"),
        ({"tilt": (0.1, 0.0)}, r"tilt is \(yaw, pitch, roll\)"),
        ({"tilt": (1.5, 0.0, 0.0), "bins": (3, 100)}, "reaches behind the source"),
        ({"heights": (1.0,)}, "one finite height in mm for each view"),
        ({"heights": (1.0, 2.0), "pitch": 1.0}, "exclude a pitch"),
        ({"pitch": math.nan}, "pitch must be finite"),
    ],
)
def test_geometries_that_cannot_be_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ConeBeam(**{"angles": (0.0, 1.0), "bins": (4, 5), "bin_size": 1.0, **SCAN, **changes})


def test_several_turns_in_radians_are_accepted() -> None:
    turns = tuple(np.linspace(0, 20 * math.pi, 2000))
    assert ConeBeam(turns, (4, 5), 1.0, **SCAN, pitch=3.0).elevation()[-1] == pytest.approx(30.0)
    assert ConeBeam(turns, (4, 5), 1.0, **SCAN, pitch=3.0).views(range(0, 2000, 100)).helical


def test_misuse_is_explained() -> None:
    with pytest.raises(UsageError, match="runs through the volume's circle"):
        ConeBeamRadon(size=(4, 40, 40), angles=3, **SCAN)
    with pytest.raises(UsageError, match="give bins"):
        ConeBeamRadon(size=(4, 4, 4), angles=3, pitch=2.0, **SCAN)
    operator = ConeBeamRadon(size=(4, 5, 6), angles=3, **SCAN)
    with pytest.raises(UsageError, match=r"must end in \(4, 5, 6\)"):
        operator(torch.zeros(1, 1, 6, 5, 4))
    large = ConeBeamRadon(size=(128,) * 3, angles=90, source_distance=300.0, detector_distance=0.0, backend="sparse")
    with pytest.raises(UsageError, match=r"GiB.*numba"):
        large(torch.zeros(1, 1, 128, 128, 128))


def test_without_a_folder_for_compiled_code_sparse_matrices_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recon_plugins.radon.backends._imports", lambda kernels: False)
    x = randn(1, 1, 5, 6, 7, dtype=torch.float32)
    assert isinstance(transform("flat")._projector(torch.float32, torch.device("cpu")), SparseVolumeProjector)
    torch.testing.assert_close(transform("flat")(x), transform("flat", backend="sparse")(x))
    with pytest.raises(UsageError, match="NUMBA_CACHE_DIR"):
        transform("flat", backend="numba")(x)


@pytest.mark.slow
def test_processors_without_a_permutation(tmp_path: Path) -> None:
    """Compiled for the least of processors, in a process of its own: every lane is loaded by itself."""
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CACHE_DIR": str(tmp_path)}
    code = "from recon_plugins.radon.resampling import LANES, PERMUTATION; assert (PERMUTATION, LANES) == (None, 4)"
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "independent or many_vectors"]
    for arguments in (["-c", code], tests):
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
