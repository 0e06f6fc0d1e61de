"""Radiographs on the command line: a picture without asking for a window, and the size of pixels."""

import json

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import recon
from recon import Image
from recon.cli import main
from recon_datasets.dicom_series import write_slices

VALUES = np.random.default_rng(0).integers(200, 3900, (20, 30)).astype(np.int16)
STORAGE = "1.2.840.10008.5.1.4.1.1.1.1"


def radiograph(folder, values=VALUES, **changes):
    def change(dataset, _):
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = STORAGE
        for name in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness"):
            delattr(dataset, name)
        dataset.Modality = "DX"
        dataset.ImagerPixelSpacing = [0.2, 0.1]
        for name, value in changes.items():
            setattr(dataset, name, value)

    return write_slices(folder, values[None], name="plate", intercept=0, change=change)[0]


def picture(path, tmp_path, *options):
    target = tmp_path / "x.png"
    assert main(["convert", str(path), str(target), *options]) == 0
    return np.array(Pillow.open(target)).astype(int)


def drawn(low, high, values=VALUES):
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * 255)


def test_percentiles_where_the_file_asks_for_nothing(tmp_path, capsys):
    path = radiograph(tmp_path)
    low, high = np.percentile(VALUES, (1, 99))
    assert np.abs(picture(path, tmp_path) - drawn(low, high)).max() <= 1
    assert f"note: black and white at {low:g} and {high:g}; --window chooses others" in capsys.readouterr().out
    assert np.array_equal(picture(path, tmp_path, "--window", "1000", "500"), drawn(750, 1250))
    assert "--window chooses" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "limits"),
    [
        # PS3.3 C.11.2.1.2.1: black at and below c - 0.5 - (w - 1) / 2, white above c - 0.5 + (w - 1) / 2
        ({"WindowCenter": 2048, "WindowWidth": 1001}, (1547.5, 2547.5)),
        ({"WindowCenter": [2048, 90], "WindowWidth": [1001, 7]}, (1547.5, 2547.5)),
        ({"WindowCenter": 2048, "WindowWidth": 1000, "VOILUTFunction": "LINEAR_EXACT"}, (1548, 2548)),
        # After the rescale.
        ({"WindowCenter": 1048, "WindowWidth": 1001, "RescaleIntercept": -1000}, (1547.5, 2547.5)),
    ],
)
@pytest.mark.parametrize("inverted", [False, True])
def test_the_window_of_the_file(tmp_path, changes, limits, inverted):
    changes = {**changes, **({"PhotometricInterpretation": "MONOCHROME1"} if inverted else {})}
    found = picture(radiograph(tmp_path, **changes), tmp_path)
    assert np.abs(found - drawn(*(limits[::-1] if inverted else limits))).max() <= 1


@pytest.mark.parametrize(
    "changes",
    [
        {"WindowCenter": 2048, "WindowWidth": 0},
        {"WindowCenter": 2048},
        {"WindowCenter": 90000, "WindowWidth": 100},  # all black
    ],
)
def test_windows_that_show_nothing_are_not_taken(tmp_path, changes):
    found = picture(radiograph(tmp_path, **changes), tmp_path)
    assert np.abs(found - drawn(*np.percentile(VALUES, (1, 99)))).max() <= 1


def test_a_batch_of_pictures(tmp_path):
    radiograph(tmp_path / "in")
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "out"), "--batch", "--suffix", ".png"]) == 0
    (path,) = (tmp_path / "out").glob("*.png")
    assert np.abs(np.array(Pillow.open(path)) - drawn(*np.percentile(VALUES, (1, 99)))).max() <= 1


def test_magnetic_resonance_too_and_units_are_never_lost(tmp_path, capsys):
    values = VALUES[None]
    (slice_,) = write_slices(tmp_path / "mr", values, name="mr", modality="MR", intercept=0.0)
    assert np.abs(picture(slice_, tmp_path) - drawn(*np.percentile(VALUES, (1, 99)))).max() <= 1
    (slice_,) = write_slices(tmp_path / "ct", values, name="ct")
    assert main(["convert", str(slice_), str(tmp_path / "ct.png")]) == 2
    assert "give the writer a window" in capsys.readouterr().err


@pytest.mark.parametrize(
    "data",
    [torch.rand(4, 5), torch.randint(0, 255, (4, 5), dtype=torch.uint8), torch.full((4, 5), 0.25)],
)
def test_pictures_stay_exact(tmp_path, data):
    """Values that are gray levels already are not stretched, whatever they are of."""
    recon.write(Image(data=data, metadata={"modality": "MR"}), tmp_path / "x.hdf5")
    top = 1 if data.dtype == torch.uint8 else 255
    assert np.array_equal(picture(tmp_path / "x.hdf5", tmp_path), np.rint(data.double().numpy() * top))


def test_size_of_pixels(tmp_path, capsys):
    path = radiograph(tmp_path / "plate")
    assert main(["ls", str(path)]) == 0
    assert "30 x 20 x 1, 0.1 x 0.2 mm" in capsys.readouterr().out
    assert main(["ls", str(path), "--json"]) == 0
    (series,) = json.loads(capsys.readouterr().out)["series"]
    assert series["stacks"][0]["voxel_size"] == [0.1, 0.2]
    assert main(["info", str(path)]) == 0
    assert "0.1 x 0.2 mm" in capsys.readouterr().out
    assert main(["ls", str(radiograph(tmp_path / "unknown", ImagerPixelSpacing=[0, 0]))]) == 0
    assert " mm" not in capsys.readouterr().out
