"""Synchrotron scans: ellipsoids in closed form come back, real axes are found, bad files are explained."""

from __future__ import annotations

import math

import h5py
import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import recon
from recon.errors import FileFormatError
from recon.testing.ellipsoids import values_at
from recon_datasets.data_exchange import (
    DataExchangeReader,
    ProjectionFolderReader,
    write_data_exchange,
    write_projection_folder,
    write_synthetic,
)
from recon_datasets.data_exchange.synthetic import SHAPES, counts

VIEWS = 90
THETA = np.arange(VIEWS) * math.pi / VIEWS


@pytest.fixture(scope="module")
def scan():
    return counts(THETA, columns=64, centre=34.2) | {"theta": np.rad2deg(THETA)}


def write(path, parts, **options):
    write_data_exchange(path, parts, **options)
    return path


def test_ellipsoids_come_back_in_place_and_value(tmp_path):
    path = tmp_path / "scan.h5"
    write_synthetic(path, views=240, columns=96, centre=51.4, pixel=0.4)
    measurement = recon.read(path)
    assert measurement.data.shape == (3, 1, 240, 96)
    assert measurement.voxel_size == pytest.approx((0.4, 0.4, 0.4))
    assert measurement.unit == "1/mm"
    assert measurement.operator_config["offset"] == pytest.approx((47.5 - 51.4) * 0.4, abs=0.02)
    operator = measurement.operator()
    x = recon.build("method", "fbp")(measurement.data, operator)
    columns, rows = operator.grid.coordinates()[:2]
    for row in range(3):
        z = torch.full((96, 96), (row - 1) * 0.4)
        points = torch.stack([*torch.meshgrid(columns, rows, indexing="xy"), z.double()], -1).numpy()
        truth = torch.from_numpy(values_at(SHAPES, points)).float()
        assert float((x[row, 0] - truth).norm() / truth.norm()) < 0.17  # edges between pixels
        for place, value in (((0.0, 7.0), 0.05), ((5.0, 4.0), 0.1), ((-4.0, -3.0), 0.01)):
            i, j = int((rows - place[1]).abs().argmin()), int((columns - place[0]).abs().argmin())
            assert float(x[row, 0, i - 1 : i + 2, j - 1 : j + 2].mean()) == pytest.approx(value, abs=1.5e-3)
    image = measurement.image(x)
    assert image.dims == ("z", "y", "x")


@pytest.mark.parametrize(
    ("unit", "values"), [("degrees", np.rad2deg(THETA)), ("rad", THETA), (None, THETA), (None, np.rad2deg(THETA))]
)
def test_units_of_angles(tmp_path, scan, unit, values):
    path = write(tmp_path / "scan.h5", scan | {"theta": values}, theta_unit=unit)
    measurement = recon.read(path)
    assert measurement.operator_config["angles"] == pytest.approx(THETA.tolist())
    assert any("by their range" in note for note in measurement.notes) == (unit is None)


def test_options(tmp_path, scan):
    path = write(tmp_path / "scan.h5", scan, pixel_um=2.5)
    whole = recon.read(path)
    assert whole.voxel_size == pytest.approx((0.0025,) * 3)
    part = DataExchangeReader(rows=(1, 3), centre=34.2, pixel=0.8).read(path)
    assert torch.equal(part.data, whole.data[1:3])
    assert part.operator_config["offset"] == pytest.approx((31.5 - 34.2) * 0.8)
    with h5py.File(path, "r+") as file:  # sinogram order, no dark field
        data = file["exchange/data"][()].transpose(1, 0, 2)
        del file["exchange/data"], file["exchange/data_dark"]
        file["exchange/data"] = data
        file["exchange/data"].attrs["axes"] = "y:theta:x"
    other = recon.read(path)
    assert "no dark field in the file: taken as zero" in other.notes
    assert float((other.data - whole.data).abs().max()) < 0.5
    limited = recon.read(write(tmp_path / "limited.h5", scan | {k: scan[k][:40] for k in ("data", "theta")}))
    assert any("less than half a turn" in note for note in limited.notes)


def without(*names):
    return lambda parts: {name: values for name, values in parts.items() if name not in names}


def changed(name, change):
    return lambda parts: parts | {name: change(np.array(parts[name], dtype="f4"))}


def spoilt(value):
    def change(values):
        values[3, 1, 5] = value
        return values

    return change


BAD = [
    (without("theta"), {}, "exchange/theta is missing; a Data Exchange file holds the angles"),
    (without("data_white"), {}, "exchange/data_white is missing; .* frames without an object"),
    (changed("theta", lambda v: v[:-1]), {}, "89 angles for 90 projections"),
    (changed("theta", lambda v: np.deg2rad(v)), {}, "marked as degrees but span 3.107, which looks like radians"),
    (
        changed("theta", lambda v: v),
        {"theta_unit": "radians"},
        "marked as radians but span 178, .* angle_unit: degrees",
    ),
    (changed("theta", lambda v: v), {"theta_unit": "turns"}, "unit 'turns'; degrees or radians are known"),
    (changed("theta", lambda v: np.where(v == 0, np.nan, v)), {}, "finite numbers"),
    (changed("data", spoilt(np.nan)), {}, "1 of 17280 counts are NaN or infinite"),
    (changed("data", spoilt(-4)), {}, "1 of 17280 counts are negative .down to -4.; raw counts are needed"),
    (changed("data_white", np.zeros_like), {}, "not above the dark field in 192 of 192 detector bins"),
    (changed("data_white", lambda v: v[:, :, :-1]), {}, r"flat field of shape \(2, 3, 63\) does not fit"),
    (changed("data_dark", lambda v: v[:, :2]), {}, r"dark field of shape \(2, 2, 64\) does not fit"),
    (changed("data", lambda v: v[0]), {}, r"needed is \(theta, y, x\)"),
]


@pytest.mark.parametrize(("change", "options", "message"), BAD)
def test_bad_files_are_explained(tmp_path, scan, change, options, message):
    path = write(tmp_path / "scan.h5", change(scan), **options)
    with pytest.raises(FileFormatError, match=message) as error:
        recon.read(path)
    assert "\n" not in str(error.value)


def test_wrong_options_are_explained(tmp_path, scan):
    path = write(tmp_path / "scan.h5", scan)
    with pytest.raises(FileFormatError, match="rows 0 to 2, but rows 2 to 4 are asked for"):
        DataExchangeReader(rows=(2, 5)).read(path)
    with pytest.raises(FileFormatError, match="centre 64 is not one of the columns 0 to 63"):
        DataExchangeReader(centre=64.0).read(path)
    assert not DataExchangeReader().accepts(write(tmp_path / "empty.h5", {}))


def test_dead_pixels(tmp_path, scan):
    flat = np.array(scan["data_white"])
    flat[:, 1, 20] = 0
    path = write(tmp_path / "scan.h5", scan | {"data_white": flat})
    measurement, whole = recon.read(path), recon.read(write(tmp_path / "whole.h5", scan))
    assert any("in 1 of 192 detector bins: interpolated along" in note for note in measurement.notes)
    expected = (whole.data[1, 0, :, 19] + whole.data[1, 0, :, 21]) / 2
    torch.testing.assert_close(measurement.data[1, 0, :, 20], expected)
    kept = torch.arange(64) != 20
    assert torch.equal(measurement.data[..., kept], whole.data[..., kept])
    with pytest.raises(FileFormatError, match="1 of 192 detector bins"):
        DataExchangeReader(dead_pixels="refuse").read(path)


def test_folder_equals_file(tmp_path, scan):
    write_projection_folder(tmp_path / "scan", scan, THETA, waits=4)
    measurement = recon.read(tmp_path / "scan")
    expected = recon.read(write(tmp_path / "scan.h5", scan))
    assert torch.equal(measurement.data, expected.data)
    assert measurement.operator_config["angles"] == pytest.approx(expected.operator_config["angles"], abs=1e-6)
    assert measurement.notes[0] == "8 repeated angles left out"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "angles.txt").unlink(), "write angles.txt with the angle of each projection"),
        (lambda f: (f / "angles.txt").write_text("0\n1\n2\n"), "3 angles for 90 projections"),
        (lambda f: (f / "angles.txt").write_text("".join(f"{n}\n" for n in range(95))), "95 angles .* for 90 project"),
        (lambda f: (f / "angles.txt").write_text("zero\n"), "not a list of numbers"),
        (lambda f: [path.unlink() for path in f.glob("flat*")], "holds no flat fields .with 'flat' in their name"),
        (lambda f: [path.unlink() for path in f.glob("tiffs/*")], "holds no projections"),
        (lambda f: (f / "flat_0.tif").write_bytes((f / "flat_0.tif").read_bytes()[:200]), "not a readable TIFF"),
        (lambda f: Pillow.new("I;16", (64, 4)).save(f / "tiffs" / "raw_7.tiff"), "raw_7.tiff has .4, 64. pixels"),
        (lambda f: Pillow.new("RGB", (64, 3)).save(f / "tiffs" / "raw_7.tiff"), "RGB colours; counts are gray"),
    ],
)
def test_bad_folders_are_explained(tmp_path, scan, change, message):
    write_projection_folder(tmp_path / "scan", scan, THETA)
    change(tmp_path / "scan")
    with pytest.raises(FileFormatError, match=message) as error:
        ProjectionFolderReader().read(tmp_path / "scan")
    assert "\n" not in str(error.value)


def negative_part(measurement, row, offset):
    config = measurement.operator_config
    y = measurement.data[row : row + 1]
    x = recon.build("method", "fbp")(y, recon.build("operator", {**config, "offset": offset}))[0, 0]
    return -float(x.clamp(max=0).sum())


def test_real_tooth(shared_data):
    """The axis, 23 columns off the middle, is where a reconstruction has the least below zero."""
    path = next((shared_data / "ct_projections" / "tomopy_tooth").rglob("tooth.h5"))
    measurement = recon.read(path)
    assert measurement.data.shape == (2, 1, 181, 640)
    assert measurement.operator_config["angles"][-1] == pytest.approx(math.radians(179.0055), abs=1e-5)
    offset = measurement.operator_config["offset"]
    assert 319.5 - offset == pytest.approx(296, abs=0.5)
    best = negative_part(measurement, 0, offset)
    assert best < min(negative_part(measurement, 0, offset + shift) for shift in (-3.0, 3.0))
    assert best < 0.8 * negative_part(measurement, 0, 0.0)


def test_real_folder(shared_data):
    measurement = recon.read(shared_data / "ct_projections" / "savu_24737")
    assert measurement.data.shape == (135, 1, 91, 160)
    assert 79.5 - measurement.operator_config["offset"] == pytest.approx(86, abs=0.5)
    assert "20 repeated angles left out" in measurement.notes
