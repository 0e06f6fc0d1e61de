"""DICOM-CT-PD: helical scans whose line integrals are known in closed form, by the format's own left-handed axes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pydicom
import pytest
import torch

import recon
from recon.errors import FileFormatError, ParameterError
from recon.testing.ellipsoids import chords, values_at
from recon_datasets.dicom_ct_pd import DicomCtPdReader, ProjectionError, read_scan, rebin_to_fan, write_synthetic
from recon_datasets.dicom_ct_pd.rebinning import covered, fan_angles
from recon_datasets.dicom_ct_pd.synthetic import SHAPES, WATER

SCAN = {"turns": 2.2, "views_per_turn": 80, "columns": 120}
FLYING = [(0.002, 0.3, 2.0), (-0.002, -0.3, -2.0)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("scans") / "scan"
    write_synthetic(path, **SCAN)
    return path


@pytest.fixture
def small(tmp_path):
    write_synthetic(tmp_path / "scan", turns=1.5, views_per_turn=24, columns=20, rows=4)
    return tmp_path / "scan"


def truth(operator, z):
    columns, rows = operator.grid.coordinates()[:2]
    x, y = torch.meshgrid(columns, rows, indexing="xy")
    return torch.from_numpy(values_at(SHAPES, torch.stack([x, y, torch.full_like(x, z)], -1).numpy())).float()


def hounsfield(image, operator, place):
    columns, rows = operator.grid.coordinates()[:2]
    i, j = int((rows - place[1]).abs().argmin()), int((columns - place[0]).abs().argmin())
    return 1000 * (float(image[i - 2 : i + 3, j - 2 : j + 3].mean()) / WATER - 1)


def relative(a, b):
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"clockwise": True, "transposed": False},
        {"shape": "FLAT", "implicit": True},
        {"central": (74.3, 4.2), "pitch": -10.0, "start": 17.5},
        {"spots": FLYING},
    ],
    ids=["plain", "clockwise", "flat, implicit", "detector off the axis, table out", "flying focal spot"],
)
def test_hounsfield_units_and_places(tmp_path, changes):
    """Every insert has its HU where it is; mirrored images, or a focal spot left where it is not, do not pass."""
    write_synthetic(tmp_path / "scan", **{**SCAN, "turns": 1.5, "start": 1.0, **changes})
    measurement = DicomCtPdReader(size=96, z=[10.0]).read(tmp_path / "scan")
    assert measurement.data.shape == (1, 1, 80, 120)
    assert measurement.metadata["water_per_mm"] == pytest.approx(WATER)
    operator = measurement.operator()
    image = recon.build("method", "fbp")(measurement.data, operator)[0, 0]
    for place, expected in (((4, -6), 0), ((30, 5), 800), ((-20, -18), -500), ((-70, 20), -1000)):
        assert hounsfield(image, operator, place) == pytest.approx(expected, abs=8)
    expected = truth(operator, 10.0)
    gap = relative(image, expected)
    assert gap < 0.14  # of which edges between pixels are most
    assert relative(image.flip(-1), expected) > 3 * gap


@pytest.mark.parametrize("spots", [[(0.0, 0.0, 0.0)], FLYING], ids=["still", "flying"])
def test_rebinned_fan_is_that_of_the_plane(tmp_path, spots):
    """Against lines in the plane in closed form, with the fan's geometry written out; other planes are worse."""
    write_synthetic(tmp_path / "scan", **SCAN, spots=spots)
    scan = read_scan(tmp_path / "scan")
    assert covered(scan) == pytest.approx((1.0, 15.3), abs=0.1)
    gamma = scan.columns() / 700
    theta = fan_angles(scan)
    toward = np.stack([-np.sin(theta[:, None] - gamma), np.cos(theta[:, None] - gamma), np.zeros((80, 120))], -1)

    def plane(z):
        source = np.stack([400 * np.sin(theta), -400 * np.cos(theta), np.full(80, z)], -1)
        return chords(SHAPES, source[:, None], toward)

    def gap(fan, z):
        return np.linalg.norm(fan - plane(z)) / np.linalg.norm(plane(z))

    fans, beyond = rebin_to_fan(scan, [4.0, 14.0])
    assert beyond == 0
    for fan, z in zip(fans, (4.0, 14.0), strict=True):
        assert gap(fan, z) < 0.012  # the inserts are rounded along z, which a slanted ray sees
        assert min(gap(fan, z - 2), gap(fan, z + 2)) > 1.1 * gap(fan, z)
    right = gap(fans[0], 4.0)
    if any(spots[0]):
        unmoved = dataclasses.replace(scan, shifts=np.zeros_like(scan.shifts))
        wrong = rebin_to_fan(unmoved, [4.0, 14.0])[0]
        theta = fan_angles(unmoved)
        assert min(gap(fan, z) for fan, z in zip(wrong, (4.0, 14.0), strict=True)) > 3 * right


def test_command_line_to_hounsfield_units(folder, tmp_path):
    from recon.cli import main

    assert main(["info", str(folder)]) == 0
    out = tmp_path / "out.nii.gz"
    assert main(["reconstruct", str(folder), "--method", "fbp", "-o", str(out)]) == 0
    image = recon.read(out)
    assert image.data.shape == (5, 512, 512)
    assert image.voxel_size == pytest.approx((0.3125, 0.3125, 3.0))
    assert float(image.data[2, 256:266, 256:266].mean()) == pytest.approx(0, abs=8)  # water


def test_helix_is_the_cone_beam_of_the_volume(folder):
    measurement = DicomCtPdReader(geometry="helix", size=56, spacing=2.8).read(folder)
    assert measurement.data.shape == (1, 1, 176, 8, 120)
    assert measurement.operator_config["pitch"] == pytest.approx(12.0, rel=1e-4)
    operator = recon.build("operator", measurement.operator_config)
    columns, rows, slices = operator.grid.coordinates()
    z = slices - slices.mean() + read_scan(folder).z[[0, -1]].mean()
    grid = torch.stack(torch.meshgrid(z, rows, columns, indexing="ij"), -1).flip(-1).numpy()
    x = torch.from_numpy(values_at(SHAPES, grid)).float()[None, None]
    inner = slice(64, 112)  # views whose rays stay between the first slice and the last

    def gap(volume):
        return relative(operator(volume)[:, :, inner], measurement.data[:, :, inner])

    assert gap(x) < 0.03  # voxels of 2.8 mm
    assert min(gap(x.flip(2)), gap(x.flip(3)), gap(x.roll(2, 2))) > 1.5 * gap(x)


def test_slices_and_their_range(folder):
    measurement = DicomCtPdReader(size=16, spacing=4.0).read(folder)
    assert measurement.data.shape[0] == 4
    assert measurement.notes[0].startswith("slices from z 2.1")
    with pytest.raises(ProjectionError, match=r"RECON-CTPD-RANGE: .* z from 1.00 to 15.25 mm can be had, not 20.00"):
        DicomCtPdReader(z=[20.0]).read(folder)
    with pytest.raises(ParameterError, match="evenly spaced"):
        recon.build("reader", {"use": "dicom_ct_pd", "z": [1.0, 2.0, 4.0]})


def test_rows_beyond_the_detector_are_told(tmp_path):
    write_synthetic(tmp_path / "scan", turns=1.5, views_per_turn=24, columns=20, rows=4, pitch=20.0)
    measurement = DicomCtPdReader(size=16, z=[10.0]).read(tmp_path / "scan")
    assert any("needed rows beyond the detector" in note for note in measurement.notes)


def test_helix_refuses_a_flying_spot(tmp_path):
    write_synthetic(tmp_path / "scan", turns=1.5, views_per_turn=24, columns=20, rows=4, spots=FLYING)
    with pytest.raises(ProjectionError, match=r"RECON-CTPD-FFS: .* read as fan"):
        DicomCtPdReader(geometry="helix").read(tmp_path / "scan")


def edited(number, **tags):
    """Return a change of one view's file: keywords, or private tags as g7029_1010; None deletes."""

    def change(folder):
        path = sorted(folder.iterdir())[number]
        data = pydicom.dcmread(path)
        for name, value in tags.items():
            tag = (int(name[1:5], 16), int(name[6:], 16)) if name.startswith("g") else name
            if value is None:
                del data[tag]
            elif isinstance(tag, str):
                setattr(data, tag, value)
            else:
                data[tag].value = value
        data.save_as(path)

    return change


def every(change):
    return lambda folder: [change(number)(folder) for number in range(len(list(folder.iterdir())))]


def cut(folder):
    path = sorted(folder.iterdir())[5]
    path.write_bytes(path.read_bytes()[:-60])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edited(3, g7031_1001=None), r"CTPD-TAG: .* lacks angle \(7031,1001\)"),
        (edited(3, g7031_1003=0.0), r"CTPD-TAG: .* source distance \(7031,1003\) is 0; it must be positive"),
        (edited(3, g7031_1031=300.0), "CTPD-TAG: .* nearer to the source than the isocentre"),
        (edited(3, g7031_1002=math.nan), r"CTPD-TAG: .* z \(7031,1002\) is not finite"),
        (edited(3, g7029_100B="SPHERICAL"), "CTPD-DETECTOR: .* neither CYLINDRICAL nor FLAT"),
        (edited(3, g7039_1009="NO"), "CTPD-LOG: .* normalise by air first"),
        (edited(3, g7033_1061=2), "CTPD-SPECTRA: .* 2 spectra"),
        (edited(3, g7029_1010=None), "CTPD-KIND: .* no projection"),
        (edited(3, g7029_1010=5), "CTPD-GRID: .* does not hold 5 rows and 20 columns"),
        (edited(3, RescaleSlope=None), "CTPD-TAG: .* lacks RescaleSlope"),
        (edited(3, InstanceNumber=5), "CTPD-DUPLICATE: .* 1 instance numbers come twice"),
        (edited(3, g7031_1003=500.0), "CTPD-MIXED: .* several detectors or distances"),
        (
            lambda folder: sorted(folder.iterdir())[9].unlink(),
            "CTPD-GAP: .* missing in 1 places, first after view 9 of 35",
        ),
        (lambda folder: [path.unlink() for path in sorted(folder.iterdir())[5:]], "CTPD-EMPTY: .* 5 views"),
        (lambda folder: (folder / "junk.dcm").write_bytes(b"junk"), "CTPD-NOT-DICOM: .* remove it"),
        (cut, "CTPD-DAMAGED: .* copy it again"),
    ],
)
def test_bad_scans_are_explained(small, change, message):
    change(small)
    with pytest.raises(ProjectionError, match=message) as error:
        DicomCtPdReader().read(small)
    assert "\n" not in str(error.value)
    assert "Nobody" not in str(error.value)


def test_degrees_are_found(small):
    for number, path in enumerate(sorted(small.iterdir())):
        data = pydicom.dcmread(path)
        data[0x7031, 0x1001].value = 15.0 * (number % 24)
        data.save_as(path)
    with pytest.raises(ProjectionError, match=r"CTPD-ANGLES: .* up to 345 look like degrees"):
        DicomCtPdReader().read(small)


def test_water_that_is_none_is_left_out(small):
    every(lambda number: edited(number, g7041_1001="0.192"))(small)
    measurement = DicomCtPdReader(size=16).read(small)
    assert "water_per_mm" not in measurement.metadata
    assert "not that of water in 1/mm" in measurement.notes[0]


def test_who_accepts_what(small, tmp_path):
    from recon_datasets.dicom_series import DicomReader, write_slices

    slices = tmp_path / "slices"
    write_slices(slices, np.zeros((3, 4, 5), dtype=np.int16))
    assert DicomCtPdReader().accepts(small)
    assert not DicomReader().accepts(small)
    assert not DicomCtPdReader().accepts(slices)
    assert DicomReader().accepts(slices)
    with pytest.raises(FileFormatError, match="CTPD-EMPTY"):
        DicomCtPdReader().read(slices)
    with pytest.raises(FileFormatError, match=r"RECON-DICOM-PROJECTION: .* give the folder of all its views"):
        recon.read(next(small.iterdir()))


def test_axial_scan(tmp_path):
    write_synthetic(tmp_path / "scan", turns=1.25, views_per_turn=48, columns=40, rows=4, pitch=0.0, start=10.0)
    measurement = recon.read(tmp_path / "scan")
    assert measurement.data.shape == (1, 1, 48, 40)
    cone = DicomCtPdReader(geometry="helix", size=16).read(tmp_path / "scan")
    assert cone.operator_config["pitch"] == 0
    assert cone.operator().sinogram_size == (60, 4, 40)
