"""Pictures on request, and what else there is by name."""

import zipfile

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import generate_uid

import recon
from recon_datasets.dicom_series import DicomError, write_slices
from recon_datasets.dicom_series.scan import scan

from .whole_files import VALUES, bundled, code, plate, read, whole

COLOURS = ["SC_rgb_rle.dcm", "SC_rgb_small_odd.dcm", "examples_rgb_color.dcm", "SC_rgb_dcmtk_+eb+cr.dcm"]


@pytest.mark.parametrize("name", COLOURS)
def test_colours_on_request(name):
    path = bundled(name)
    assert code(path) == "KIND"
    image = read(path, kind="picture")
    assert image.dims == ("channel", "y", "x")
    expected = pydicom.dcmread(path).pixel_array
    assert np.array_equal(image.data.numpy(), np.moveaxis(expected, -1, 0))


def test_a_film_of_colours():
    """Converted from YBR; ultrasound tells the size of its pixels in cm."""
    Pillow = pytest.importorskip("PIL.Image")
    path = bundled("examples_ybr_color.dcm")
    image = read(path, kind="picture")
    header = pydicom.dcmread(path)
    assert image.dims == ("t", "channel", "y", "x")
    assert len(image.metadata["times_s"]) == image.shape[0] == header.NumberOfFrames
    region = header.SequenceOfUltrasoundRegions[0]
    assert image.voxel_size == pytest.approx((10 * region.PhysicalDeltaX, 10 * region.PhysicalDeltaY))
    from pydicom.pixels import pixel_array

    stored = pixel_array(path, index=3, raw=True)
    expected = np.asarray(Pillow.fromarray(stored, mode="YCbCr").convert("RGB")).astype(float)
    assert np.abs(image.data[3].numpy() - np.moveaxis(expected, -1, 0)).max() <= 2


def test_a_palette():
    path = bundled("examples_palette.dcm")
    image = read(path, kind="picture")
    header = pydicom.dcmread(path)
    tables = [
        np.frombuffer(getattr(header, f"{name}PaletteColorLookupTableData"), "<u2") for name in ("Red", "Green", "Blue")
    ]
    first = header.RedPaletteColorLookupTableDescriptor[1]
    index = np.clip(header.pixel_array.astype(int) - first, 0, len(tables[0]) - 1)
    bits = header.RedPaletteColorLookupTableDescriptor[2]
    for channel, table in zip(image.data.numpy(), tables, strict=True):
        expected = table[index]
        assert np.array_equal(channel, expected if bits == 16 or expected.max() < 256 else expected >> 8)


def test_grey_pictures():
    for name in ("JPEG2000.dcm", "image_dfl.dcm", "JPEGLSNearLossless_16.dcm"):
        path = bundled(name)
        assert code(path) == "KIND"
        image = read(path, kind="picture")
        assert np.array_equal(image.data.numpy(), pydicom.dcmread(path).pixel_array)


def test_pictures_are_no_scans_and_scans_no_pictures(tmp_path):
    assert code(bundled("CT_small.dcm"), kind="picture") == "KIND"
    assert code(bundled("liver_1frame.dcm"), kind="picture") == "KIND"
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in COLOURS[:2]:
            archive.write(bundled(name), name)
    assert code(tmp_path / "x.zip", kind="picture") == "AMBIGUOUS"


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk.dcm", "examples_jpeg2k.dcm", "SC_rgb_rle.dcm"])
def test_colours_that_are_cut_off(tmp_path, name):
    """Inside their frame, so that the file itself is whole: decoders fill the rest with grey."""
    dataset = pydicom.dcmread(bundled(name))
    (stream,) = generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = encapsulate([stream[: 2 * (len(stream) // 3)]])
    dataset.save_as(tmp_path / name)
    assert code(tmp_path / name, kind="picture") == "TRUNCATED"


def test_a_picture_bomb(tmp_path):
    def huge(dataset):
        plate(Rows=65535, Columns=65535, SamplesPerPixel=3, PhotometricInterpretation="RGB")(dataset)

    path = whole(tmp_path, "7", huge, VALUES[:1])
    assert code(path, kind="picture") == "BOMB"
    assert code(bundled("examples_rgb_color.dcm"), kind="picture", limit_gb=1e-4) == "LIMIT"


@pytest.mark.parametrize(
    ("end", "name"),
    [
        ("66.4", "Segmentation"),
        ("481.3", "RT Structure Set"),
        ("481.5", "RT Plan"),
        ("11.1", "Grayscale Softcopy Presentation State"),
        ("88.11", "Basic Text SR"),
        ("7", "Secondary Capture Image"),
        ("6.1", "Ultrasound Image"),
        ("66", "Raw Data"),
        ("104.1", "Encapsulated PDF"),
        ("4.2", "MR Spectroscopy"),
        ("999", "object of an unknown kind"),
    ],
)
def test_what_else_there_is_is_named(tmp_path, end, name):
    path = whole(tmp_path, end, plate(), VALUES[:1])
    with pytest.raises(DicomError, match=rf"RECON-DICOM-KIND: .* is no scan \({name}\)"):
        recon.read(path)
    assert scan(path)[0].modality == name
    assert scan(path)[0].problem == "RECON-DICOM-KIND"


def test_objects_beside_a_scan_are_passed_over(tmp_path):
    write_slices(tmp_path, VALUES)
    for end in ("66.4", "481.3", "88.11"):
        whole(tmp_path / end, end, plate(SeriesInstanceUID=generate_uid()), VALUES[:1], name=end)
    assert np.array_equal(recon.read(tmp_path).data.numpy(), VALUES.astype(np.float32) - 1024)
