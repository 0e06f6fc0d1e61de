"""Scans in space as other packages describe them, against their own formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recon.errors import UsageError
from recon_plugins.radon import ConeBeam, Parallel3D
from recon_plugins.radon.cone_conventions import (
    astra_projections,
    astra_volume,
    odl_volume,
    volume_from_astra,
    volume_from_odl,
)

from .volumes import randn

VOLUME = {"GridSliceCount": 4, "GridRowCount": 5, "GridColCount": 6}
ANGLES = [0.1, 1.3, 4.0]


def vectors_of(geometry: ConeBeam | Parallel3D) -> np.ndarray:
    """ASTRA's vectors: source or direction against the rays, centre of the detector, steps along columns and rows."""
    fans = geometry.ray_fans()
    rows, columns = geometry.bins
    cone = isinstance(geometry, ConeBeam)
    points = fans.start + fans.towards if cone else fans.start
    step = fans.towards_step if cone else fans.start_step
    u = points[:, 1] - points[:, 0]
    centre = points[:, 0] + u * (columns - 1) / 2 + step[:, 0] * (rows - 1) / 2
    first = fans.start[:, 0] if cone else -fans.towards[:, 0]
    return torch.cat([first, centre, u, step[:, 0].expand_as(u)], 1).numpy()


def astra_of(geometry: ConeBeam | Parallel3D) -> dict[str, object]:
    kind = "cone_vec" if isinstance(geometry, ConeBeam) else "parallel3d_vec"
    rows, columns = geometry.bins
    return {"type": kind, "DetectorRowCount": rows, "DetectorColCount": columns, "Vectors": vectors_of(geometry)}


def same_rays(a: ConeBeam | Parallel3D, b: ConeBeam | Parallel3D) -> None:
    for one, other in zip(a.ray_fans().rays(), b.ray_fans().rays(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_astra_cone_by_its_documented_vectors() -> None:
    """The vectors that ASTRA's documentation gives for a cone, written out."""
    scan = {"type": "cone", "DetectorRowCount": 3, "DetectorColCount": 7, "ProjectionAngles": np.array(ANGLES)}
    scan |= {
        "DetectorSpacingX": 1.2,
        "DetectorSpacingY": 0.9,
        "DistanceOriginSource": 30.0,
        "DistanceOriginDetector": 9.0,
    }
    rows = []
    for a in ANGLES:
        s, c = math.sin(a), math.cos(a)
        rows.append([30 * s, -30 * c, 0, -9 * s, 9 * c, 0, 1.2 * c, 1.2 * s, 0, 0, 0, 0.9])
    plain = volume_from_astra(scan, VOLUME)
    assert plain.geometry == ConeBeam(tuple(ANGLES), (3, 7), (0.9, 1.2), 30.0, 9.0)
    vectors = {"type": "cone_vec", "DetectorRowCount": 3, "DetectorColCount": 7, "Vectors": np.array(rows)}
    found = volume_from_astra(vectors, VOLUME)
    same_rays(found.geometry, plain.geometry)
    assert found.geometry.tilt == (0.0, 0.0, 0.0)
    assert found.geometry.heights is None
    assert np.allclose(vectors_of(plain.geometry), rows)


@pytest.mark.parametrize(
    "geometry",
    [
        ConeBeam(tuple(ANGLES), (4, 5), (0.9, 1.2), 30.0, 9.0, (0.4, -1.1)),
        ConeBeam(tuple(ANGLES), (4, 5), (0.9, 1.2), 30.0, 9.0, (0.4, -1.1), tilt=(0.2, -0.1, 0.3)),
        ConeBeam((0.1, 7.0, 14.0), (4, 5), 1.0, 30.0, 9.0, pitch=2.0),
        Parallel3D(tuple(ANGLES), (4, 5), (0.9, 1.2), (0.4, -1.1)),
        Parallel3D(tuple(ANGLES), (4, 5), (0.9, 1.2), (0.4, -1.1), tilt=(0.2, -0.1, 0.3)),
    ],
    ids=["shifted", "tilted", "helix", "parallel", "parallel, tilted"],
)
def test_astra_vectors_there_and_back(geometry: ConeBeam | Parallel3D) -> None:
    found = volume_from_astra(astra_of(geometry), VOLUME).geometry
    assert found.tilt == pytest.approx(geometry.tilt, abs=1e-9)
    assert found.offset == pytest.approx(geometry.offset, abs=1e-9)
    same_rays(found, geometry)


def test_astra_window_and_axes() -> None:
    window = {"WindowMinX": -3, "WindowMaxX": 9, "WindowMinY": -4, "WindowMaxY": 6, "WindowMinZ": -1, "WindowMaxZ": 3}
    operator = volume_from_astra(astra_of(Parallel3D(tuple(ANGLES), (4, 5), 1.0)), VOLUME | {"option": window})
    assert operator.pixel == (1.0, 2.0, 2.0)
    assert operator.centre == (3.0, 1.0, 1.0)
    x, y = randn(4, 5, 6), randn(4, 3, 5)
    assert torch.equal(astra_volume(x)[:, 0], x[:, 4])
    assert torch.equal(astra_projections(y)[1, 2], y[2, 1])


def test_astra_scans_that_are_refused() -> None:
    scan = astra_of(ConeBeam(tuple(ANGLES), (4, 5), 1.0, 30.0, 9.0))
    with pytest.raises(UsageError, match="'cyl_cone_vec' is not served"):
        volume_from_astra({**scan, "type": "cyl_cone_vec"}, VOLUME)
    for column, message in ((0, "one and the same way"), (3, "one and the same way")):
        vectors = np.array(scan["Vectors"])
        vectors[1, column] += 0.5
        with pytest.raises(UsageError, match=message):
            volume_from_astra({**scan, "Vectors": vectors}, VOLUME)
    skewed = np.array(scan["Vectors"])
    skewed[:, 9:] += 0.2 * skewed[:, 6:9]
    with pytest.raises(UsageError, match="not rectangular"):
        volume_from_astra({**scan, "Vectors": skewed}, VOLUME)
    dipping = astra_of(Parallel3D(tuple(ANGLES), (4, 5), 1.0))
    dipping["Vectors"][:, 2] = 0.3
    with pytest.raises(UsageError, match="not level"):
        volume_from_astra(dipping, VOLUME)


def test_odl_spaces() -> None:
    operator = volume_from_odl(
        min_pt=(-3, -2, -1), max_pt=(3, 4, 5), shape=(6, 12, 3), angles=[0.1, 7.0], det_min=(-4, -1), det_max=(6, 2),
        det_shape=(10, 3), src_radius=30.0, det_radius=9.0, pitch=2.0, offset_along_axis=0.5,
    )  # fmt: skip
    assert operator.size == (3, 12, 6)
    assert operator.pixel == (2.0, 0.5, 1.0)
    assert operator.centre == (0.0, 1.0, 2.0)
    expected = ConeBeam((0.1, 7.0), (3, 10), (1.0, 1.0), 30.0, 9.0, (0.5, 1.0), pitch=2.0)
    torch.testing.assert_close(operator.geometry.elevation(), expected.elevation() + 0.5)
    assert operator.geometry.offset == expected.offset
    # f[i, j, k] at (x_i, y_j, z_k): the largest y is on top.
    f = randn(6, 12, 3)
    assert odl_volume(f)[2, 0, 4] == f[4, 11, 2]
    level = volume_from_odl(min_pt=(-3, -2, -1), max_pt=(3, 4, 5), shape=(6, 12, 3), angles=[0.1], det_min=(-4, -1),
                            det_max=(6, 2), det_shape=(10, 3))  # fmt: skip
    assert level.geometry == Parallel3D((0.1,), (3, 10), (1.0, 1.0), (0.5, 1.0))
