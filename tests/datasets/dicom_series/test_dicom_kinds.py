"""Beyond CT, MR and PET slices: dose, nuclear medicine, radiographs, films and pictures; what else is, by name."""

import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

import recon
from recon_datasets.dicom_series import DicomError, DicomReader, write_slices
from recon_datasets.dicom_series.scan import scan

RNG = np.random.default_rng(3)
VALUES = RNG.integers(0, 3000, (6, 5, 7)).astype(np.int16)
STORAGE = "1.2.840.10008.5.1.4.1.1."
OBLIQUE = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "prone": (-1, 0, 0, 0, 1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": (*OBLIQUE[0], *OBLIQUE[1]),
}


def bundled(name):
    return Path(get_testdata_file(name, download=False))


def read(path, **options):
    return DicomReader(**options).read(path)


def code(path, **options):
    with pytest.raises(DicomError) as error:
        read(path, **options)
    assert "Nobody" not in str(error.value)
    return error.value.code.removeprefix("RECON-DICOM-")


def whole(folder, end, change, values=VALUES, name="series", **options):
    """One multi-frame file of a storage class, by a change of its header."""

    def enlarge(dataset, number):
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = STORAGE + end
        dataset.PixelRepresentation = 0
        if len(values) > 1:
            dataset.NumberOfFrames = len(values)
        dataset.PixelData = values.tobytes()
        change(dataset)

    return write_slices(folder, values[:1], name=name, intercept=0, change=enlarge, **options)[0]


def lps(affine, index):
    return (np.asarray(affine) @ [*index, 1])[:3] * [-1, -1, 1]


# Dose.


def dose(offsets, **changes):
    def change(dataset):
        del dataset.RescaleSlope, dataset.RescaleIntercept
        dataset.Modality, dataset.DoseUnits, dataset.DoseType, dataset.DoseSummationType = (
            "RTDOSE",
            "GY",
            "PHYSICAL",
            "PLAN",
        )
        dataset.DoseGridScaling = "0.00125"
        dataset.GridFrameOffsetVector = offsets
        for name, value in changes.items():
            if value is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, value)

    return change


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("direction", ORIENTATIONS)
def test_dose_counts_planes_from_the_first(tmp_path, direction, sign):
    """PS3.3 C.8.8.3.2: plane k lies at position + offset k x (row x column), whichever way offsets run."""
    orientation = ORIENTATIONS[direction]
    offsets = [sign * 3.5 * n for n in range(6)]
    path = whole(tmp_path, "481.2", dose(offsets), orientation=orientation, spacing=(0.7, 0.9))
    image = recon.read(path)
    assert (image.unit, image.quantity, image.dims) == ("Gy", "dose", ("z", "y", "x"))
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    for number, offset in enumerate(offsets):
        z = number if sign > 0 else 5 - number
        assert np.allclose(image.data[z].numpy(), VALUES[number] * 0.00125, rtol=1e-6)
        place = np.array([-10, 20, 30]) + np.cross(row, column) * offset + row * 0.9 * 6 + column * 0.7 * 4
        assert np.allclose(lps(image.affine, (6, 4, z)), place, atol=1e-4)


def test_dose_by_height_in_the_patient(tmp_path):
    """The other form of the offsets: each plane's own z."""
    path = whole(tmp_path / "a", "481.2", dose([30 - 2.0 * n for n in range(6)]))
    image = read(path)
    assert np.allclose(lps(image.affine, (0, 0, 0)), [-10, 20, 20])
    assert np.allclose(image.data[0].numpy(), VALUES[5] * 0.00125, rtol=1e-6)
    assert code(whole(tmp_path / "b", "481.2", dose([31 - 2.0 * n for n in range(6)]))) == "GEOMETRY"
    oblique = whole(
        tmp_path / "c", "481.2", dose([30 - 2.0 * n for n in range(6)]), orientation=ORIENTATIONS["oblique"]
    )
    assert code(oblique) == "GEOMETRY"


def test_dose_lies_on_the_scan_that_it_was_planned_on(tmp_path):
    """The same point in the patient has the index of its slice in the scan, and of its plane in the coarser dose."""
    write_slices(tmp_path / "ct", VALUES, step=2.0)
    path = whole(tmp_path / "dose", "481.2", dose([4.0 * n for n in range(6)]), spacing=(2.1, 1.8))
    there = np.linalg.inv(read(tmp_path / "ct").affine) @ read(path).affine
    assert np.allclose(there, np.diag([2, 3, 2, 1]), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (dose([0.0, 1.0]), "MULTIFRAME"),
        (dose([0.0, 1, 2, 3, 4, 5], GridFrameOffsetVector=None), "MULTIFRAME"),
        (dose([0.0, 1, 2, 3, 4, 5], DoseGridScaling=None), "RESCALE"),
        (dose([0.0, 1, 2, 3, 4, 8]), "UNEVEN"),
        (dose([0.0, 1, 2, 3, 4, 5], ImagePositionPatient=None), "GEOMETRY"),
    ],
)
def test_dose_that_is_refused(tmp_path, change, expected):
    assert code(whole(tmp_path, "481.2", change)) in (expected, "GAP" if expected == "UNEVEN" else expected)


def test_real_dose_against_another_library():
    """Place by SimpleITK, which does not scale; values by pydicom."""
    sitk = pytest.importorskip("SimpleITK")
    for name in ("rtdose.dcm", "rtdose_rle.dcm", "rtdose_expb.dcm"):
        image, header = recon.read(bundled(name)), pydicom.dcmread(bundled(name))
        expected = header.pixel_array * float(header.DoseGridScaling)
        assert np.allclose(image.data.numpy(), expected, rtol=1e-6)
        assert image.data.max() > 1
        assert image.unit == "arbitrary"  # the file says RELATIVE
    other = sitk.ReadImage(str(bundled("rtdose.dcm")))
    for index in ((0, 0, 0), (9, 0, 14), (3, 8, 7)):
        assert np.allclose(
            lps(recon.read(bundled("rtdose.dcm")).affine, index), other.TransformIndexToPhysicalPoint(index)
        )


def test_doses_of_several_beams_are_images_of_their_own(tmp_path):
    for beam in (1, 2):

        def of_beam(dataset, beam=beam):
            dose([0.0, 2, 4, 6, 8, 10])(dataset)
            dataset.InstanceNumber = beam
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.{beam}"

        path = whole(tmp_path, "481.2", of_beam, VALUES + beam)
        path.rename(tmp_path / f"{3 - beam}.dcm")
    assert code(tmp_path) == "AMBIGUOUS"
    for beam in (1, 2):
        assert np.allclose(read(tmp_path, stack=beam).data.numpy(), (VALUES + beam) * 0.00125)


# Nuclear medicine.


def nuclear(kind, pointers=(), apart=4.5, place="detector", **changes):
    def change(dataset):
        dataset.Modality, dataset.ImageType = "NM", ["ORIGINAL", "PRIMARY", kind, "EMISSION"]
        detector = Dataset()
        if place == "detector":
            detector.ImageOrientationPatient = dataset.ImageOrientationPatient
            detector.ImagePositionPatient = dataset.ImagePositionPatient
        if place != "root":
            del dataset.ImageOrientationPatient, dataset.ImagePositionPatient
        dataset.DetectorInformationSequence = [detector]
        if apart is not None:
            dataset.SpacingBetweenSlices = apart
        dataset.FrameIncrementPointer = list(pointers)
        for name, value in changes.items():
            setattr(dataset, name, value)

    return change


@pytest.mark.parametrize("place", ["detector", "root"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("direction", ORIENTATIONS)
def test_reconstructed_slices_of_nuclear_medicine(tmp_path, direction, sign, place):
    """PS3.3 C.8.4.15: slices follow one another along row x column, against it where their distance is negative."""
    order = [2, 1, 3, 6, 5, 4]
    change = nuclear("RECON TOMO", [0x00540080], sign * 4.5, place, SliceVector=order)
    orientation = ORIENTATIONS[direction]
    image = recon.read(whole(tmp_path, "20", change, orientation=orientation, spacing=(0.7, 0.9)))
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    found = {}
    for z in range(6):
        frame = next(n for n in range(6) if np.array_equal(VALUES[n], image.data[z].numpy()))
        found[frame] = lps(image.affine, (6, 4, z))
    for frame, number in enumerate(order):
        height = sign * 4.5 * (number - order[0])  # the first frame's pixel is the one whose place is told
        place_of = np.array([-10, 20, 30]) + np.cross(row, column) * height + row * 0.9 * 6 + column * 0.7 * 4
        assert np.allclose(found[frame], place_of, atol=1e-4)


@pytest.mark.parametrize("sign", [1, -1])
def test_nuclear_medicine_against_another_library(tmp_path, sign):
    sitk = pytest.importorskip("SimpleITK")
    change = nuclear("RECON TOMO", [0x00540080], sign * 4.5, SliceVector=[1, 2, 3, 4, 5, 6])
    path = whole(tmp_path, "20", change, spacing=(0.7, 0.9))
    image, other = recon.read(path), sitk.ReadImage(str(path))
    truth = sitk.GetArrayFromImage(other)
    for index in ((0, 0, 0), (6, 0, 5), (2, 4, 3)):
        place = np.array(other.TransformIndexToPhysicalPoint(index))
        ours = np.rint(np.linalg.inv(image.affine) @ [*(place * [-1, -1, 1]), 1]).astype(int)
        assert np.allclose(lps(image.affine, ours[:3]), place, atol=1e-4)
        assert image.data[ours[2], ours[1], ours[0]] == truth[index[::-1]]


def test_gated_slices_are_times(tmp_path):
    vectors = {"SliceVector": [1, 2, 1, 2, 1, 2], "TimeSlotVector": [2, 2, 1, 1, 3, 3], "RRIntervalVector": [1] * 6}
    change = nuclear("RECON GATED TOMO", [0x00540060, 0x00540070, 0x00540080], **vectors)
    image = recon.read(whole(tmp_path, "20", change))
    assert image.dims == ("t", "z", "y", "x")
    assert np.array_equal(image.data.numpy(), VALUES.reshape(3, 2, 5, 7)[[1, 0, 2]])


def test_windows_are_images_of_their_own(tmp_path):
    vectors = {"SliceVector": [1, 1, 2, 2, 3, 3], "EnergyWindowVector": [1, 2] * 3}
    path = whole(tmp_path, "20", nuclear("RECON TOMO", [0x00540010, 0x00540080], Units="BQML", **vectors))
    assert code(path) == "AMBIGUOUS"
    for window in (1, 2):
        image = read(path, stack=window)
        assert image.unit == "Bq/ml"
        assert np.array_equal(image.data.numpy(), VALUES[window - 1 :: 2])
    assert [stack.kind for stack in scan(path)[0].stacks] == ["NM window 1 axial", "NM window 2 axial"]


def test_scintigrams(tmp_path):
    """A whole body from front and back; a dynamic study of one detector."""
    path = whole(tmp_path / "a", "20", nuclear("WHOLE BODY", [0x00540020], DetectorVector=[1, 2]), VALUES[:2])
    assert code(path) == "AMBIGUOUS"
    back = read(path, stack=2)
    assert (back.dims, back.affine, back.voxel_size) == (("y", "x"), None, (0.9, 0.7))
    assert np.array_equal(back.data.numpy(), VALUES[1])
    vectors = {"PhaseVector": [2, 2, 2, 1, 1, 1], "TimeSliceVector": [1, 2, 3, 1, 2, 3]}
    image = read(whole(tmp_path / "b", "20", nuclear("DYNAMIC", [0x00540030, 0x00540100], **vectors)))
    assert image.dims == ("t", "y", "x")
    assert np.array_equal(image.data.numpy(), VALUES[[3, 4, 5, 0, 1, 2]])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (nuclear("TOMO", [0x00540090], AngularViewVector=[1, 2, 3, 4, 5, 6]), "KIND"),
        (nuclear("SOMETHING"), "KIND"),
        (nuclear("RECON TOMO", [0x00540080]), "MULTIFRAME"),
        (nuclear("RECON TOMO", [0x00540080], SliceVector=[1, 2, 3]), "MULTIFRAME"),
        (nuclear("RECON TOMO", [0x00540080], SliceVector=[1, 2, 3, 4, 5, 5]), "MULTIFRAME"),
        (nuclear("RECON TOMO", [0x00540080], SliceVector=[1, 2, 3, 4, 5, 7]), "GAP"),
        (nuclear("RECON TOMO", [0x00540080], None, SliceVector=[1, 2, 3, 4, 5, 6]), "GEOMETRY"),
        (nuclear("RECON TOMO", [0x00540080], place="nowhere", SliceVector=[1, 2, 3, 4, 5, 6]), "GEOMETRY"),
    ],
)
def test_nuclear_medicine_that_is_refused(tmp_path, change, expected):
    assert code(whole(tmp_path, "20", change)) == expected


# Radiographs and films.


def plate(**changes):
    def change(dataset):
        for name in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness"):
            delattr(dataset, name)
        dataset.Modality = "DX"
        for name, value in changes.items():
            setattr(dataset, name, value)

    return change


@pytest.mark.parametrize("end", ["1", "1.1", "1.1.1", "1.2", "1.3", "12.1", "481.1"])
def test_a_radiograph_is_a_plane_without_a_place(tmp_path, end):
    image = recon.read(whole(tmp_path, end, plate(RescaleSlope=2, RescaleIntercept=-7), VALUES[:1]))
    assert (image.dims, image.affine, image.voxel_size, image.unit) == (("y", "x"), None, None, "arbitrary")
    assert np.array_equal(image.data.numpy(), VALUES[0] * 2.0 - 7)


@pytest.mark.parametrize(
    ("changes", "spacing", "note"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.1, 0.2), "of the detector"),
        ({"ImagerPixelSpacing": [0.2, 0.1], "PixelSpacing": [0.2, 0.1]}, (0.1, 0.2), "of the detector"),
        ({"ImagerPixelSpacing": [0.2, 0.1], "PixelSpacing": [0.18, 0.09]}, (0.09, 0.18), "calibrated"),
        ({"PixelSpacing": [0.18, 0.09]}, (0.09, 0.18), "calibrated"),
        (
            {"ImagerPixelSpacing": [0.2, 0.1], "EstimatedRadiographicMagnificationFactor": 1.25},
            (0.1, 0.2),
            "by about 1.25",
        ),
        ({"NominalScannedPixelSpacing": [0.3, 0.3]}, (0.3, 0.3), "film"),
        ({"ImagerPixelSpacing": [0, 0.1]}, None, None),
    ],
)
def test_spacing_of_radiographs(tmp_path, changes, spacing, note):
    """PS3.3 10.7.1.3: where both spacings stand and differ, PixelSpacing is the calibrated one."""
    image = recon.read(whole(tmp_path, "1.1", plate(**changes), VALUES[:1]))
    assert image.voxel_size == spacing
    assert note is None or any(note in text for text in image.notes)


def test_inverted_radiographs_and_their_tables(tmp_path):
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [3000, 0, 16], "US"
    table["LUTDescriptor"].VR = "US"
    values = (np.arange(3000) * 7 % 4096).astype("<u2")
    table.add_new("LUTData", "OW", values.tobytes())

    def change(dataset):
        plate(PhotometricInterpretation="MONOCHROME1", ModalityLUTSequence=[table])(dataset)
        del dataset.RescaleSlope, dataset.RescaleIntercept

    image = recon.read(whole(tmp_path, "1", change, VALUES[:1]))
    assert np.array_equal(image.data.numpy(), values[VALUES[0]])
    assert any("MONOCHROME1" in note for note in image.notes)


def test_films_have_times(tmp_path):
    steady = read(whole(tmp_path / "a", "12.1", plate(FrameTime=40, FrameIncrementPointer=0x00181063)))
    assert steady.dims == ("t", "y", "x")
    assert np.array_equal(steady.data.numpy(), VALUES)
    assert steady.metadata["times_s"] == pytest.approx((0, 0.04, 0.08, 0.12, 0.16, 0.2))
    vector = plate(FrameTimeVector=[0, 100, 100, 500, 500, 500], FrameIncrementPointer=0x00181065)
    assert read(whole(tmp_path / "b", "12.2", vector)).metadata["times_s"] == pytest.approx(
        (0, 0.1, 0.2, 0.7, 1.2, 1.7)
    )
    assert code(whole(tmp_path / "c", "12.1", plate())) == "MULTIFRAME"


def test_views_of_one_series_are_never_stacked(tmp_path):
    """Two views and a copy of the first: each is chosen by its number, whatever the names."""
    for number, name in ((1, "b"), (2, "a"), (1, "copy")):

        def view(dataset, number=number):
            plate(InstanceNumber=number, ImagerPixelSpacing=[0.1, 0.1])(dataset)
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}"

        whole(tmp_path, "1.1", view, VALUES[number - 1 : number]).rename(tmp_path / f"{name}.dcm")
    assert code(tmp_path) == "AMBIGUOUS"
    first, second = (read(tmp_path, stack=number) for number in (1, 2))
    assert np.array_equal(first.data.numpy(), VALUES[0])
    assert np.array_equal(second.data.numpy(), VALUES[1])
    assert any("twice" in note for note in first.notes)
    assert [stack.kind for stack in scan(tmp_path)[0].stacks] == ["DX radiograph"] * 2


def test_breast_tomosynthesis_has_a_place(tmp_path):
    """An enhanced image like any other."""

    def change(dataset):
        orientation, position, spacing = (
            dataset.ImageOrientationPatient,
            dataset.ImagePositionPatient,
            dataset.PixelSpacing,
        )
        plate()(dataset)
        shared = Dataset()
        shared.PlaneOrientationSequence = [Dataset()]
        shared.PlaneOrientationSequence[0].ImageOrientationPatient = orientation
        shared.PixelMeasuresSequence = [Dataset()]
        shared.PixelMeasuresSequence[0].PixelSpacing = spacing
        dataset.SharedFunctionalGroupsSequence = [shared]
        frames = []
        for number in range(6):
            frame = Dataset()
            frame.PlanePositionSequence = [Dataset()]
            frame.PlanePositionSequence[0].ImagePositionPatient = [*position[:2], position[2] + number]
            frames.append(frame)
        dataset.PerFrameFunctionalGroupsSequence = frames

    image = recon.read(whole(tmp_path, "13.1.3", change))
    assert np.array_equal(image.data.numpy(), VALUES)
    assert np.allclose(lps(image.affine, (0, 0, 5)), [-10, 20, 35])


# Pictures.

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


def test_a_picture_bomb(tmp_path):
    def huge(dataset):
        plate(Rows=65535, Columns=65535, SamplesPerPixel=3, PhotometricInterpretation="RGB")(dataset)

    path = whole(tmp_path, "7", huge, VALUES[:1])
    assert code(path, kind="picture") == "BOMB"
    assert code(bundled("examples_rgb_color.dcm"), kind="picture", limit_gb=1e-4) == "LIMIT"


# What is no image.


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
