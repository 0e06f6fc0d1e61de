"""The sample images: content, splits, geometry, provenance."""

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

import recon
from recon_datasets.sample import Sample

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "datasets" / "recon_datasets" / "sample"
SPLITS = ("train", "validation", "test")


@pytest.mark.parametrize("modality", ["mri", "ct"])
def test_no_person_is_in_two_splits(modality):
    people = {split: set(recon.build("dataset", "sample", modality=modality, split=split).subjects) for split in SPLITS}
    assert all(people.values())
    for one in SPLITS:
        for other in SPLITS:
            assert one == other or not people[one] & people[other]


@pytest.mark.parametrize("modality", ["mri", "ct"])
def test_no_image_occurs_twice(modality):
    images = [
        item["image"]
        for split in SPLITS
        for item in map(
            Sample(modality=modality, split=split).__getitem__, range(len(Sample(modality=modality, split=split)))
        )
    ]
    for index, image in enumerate(images):
        for other in images[:index]:
            correlation = torch.corrcoef(torch.stack([image.flatten(), other.flatten()]))[0, 1]
            assert correlation < 0.9999


def test_mri_fills_the_unit_range():
    for split in SPLITS:
        dataset = Sample(modality="mri", split=split)
        for index in range(len(dataset)):
            image = dataset[index]["image"]
            assert image.shape == (1, 128, 128)
            assert image.dtype == torch.float32
            assert 0 <= image.min() < 0.05
            assert 0.7 < image.max() <= 1


def test_ct_is_attenuation_of_air_tissue_and_bone():
    for split in SPLITS:
        dataset = Sample(modality="ct", split=split)
        for index in range(len(dataset)):
            image = dataset[index]["image"]
            hu = (image / 0.0192 - 1) * 1000
            assert hu.min() >= -1000.001
            assert 400 < hu.max() <= 2000.001
            body = hu[(hu > -200) & (hu < 300)]
            assert -120 < body.median() < 90  # from fat to muscle
            assert len(body) > 0.1 * hu.numel()


def test_ct_equals_the_dicom_files(shared_data):
    pydicom = pytest.importorskip("pydicom")
    header = pydicom.dcmread(sorted((shared_data / "ct_images" / "ct100_dicom").glob("*.dcm"))[0])
    hu = header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)
    ours = (Sample(modality="ct", split="test")[0]["image"][0] / 0.0192 - 1) * 1000
    # Means over the same 48 x 48 mm about the middle, from 0.78 mm and from 3 mm pixels.
    half = 24 / float(header.PixelSpacing[0])
    middle = slice(round(256 - half), round(256 + half))
    assert abs(float(ours[56:72, 56:72].mean()) - hu[middle, middle].mean()) < 15


def test_size_and_spacing_go_together():
    full, small = Sample(modality="ct"), Sample(modality="ct", size=64)
    assert full.spacing == 3.0
    assert small.spacing == 6.0
    assert small[0]["image"].shape == (1, 64, 64)
    assert torch.isclose(small[0]["image"].mean(), full[0]["image"].mean(), rtol=1e-2)
    for dataset in (full, small):  # the same field of view, about the origin
        n = dataset[0]["image"].shape[-1]
        corners = dataset.affine @ np.array([[-0.5, -0.5, 0, 1], [n - 0.5, n - 0.5, 0, 1]]).T
        np.testing.assert_allclose(corners[:2], [[192, -192], [192, -192]])


def test_index_and_folder_agree_and_stay_small():
    with (FOLDER / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    files = sorted((FOLDER / "images").glob("*.png"))
    assert sorted(row["file"] for row in rows) == [file.name for file in files]
    assert sum(file.stat().st_size for file in files) < 1.1e6
    text = (FOLDER / "SOURCE.md").read_text(encoding="utf-8")
    assert all(row["source"].rpartition("/")[2] in text for row in rows)


def test_index_out_of_range():
    with pytest.raises(IndexError):
        Sample()[1000]


@pytest.mark.slow
def test_script_rebuilds_the_images(shared_data, tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("make_sample", ROOT / "docs" / "scripts" / "make_sample.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "TARGET", tmp_path)
    module.main(shared_data)
    from PIL import Image

    assert (tmp_path / "index.csv").read_text() == (FOLDER / "index.csv").read_text()
    for path in sorted((FOLDER / "images").glob("*.png")):
        ours, theirs = (
            np.asarray(Image.open(folder / path.name), dtype=int) for folder in (FOLDER / "images", tmp_path / "images")
        )
        assert np.abs(ours - theirs).max() <= 1  # another version of a library may round otherwise
