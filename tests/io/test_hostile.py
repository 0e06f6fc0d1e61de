"""The hostile inputs, one test each: refused with a code or read right, within two seconds and a bound on memory."""

import gzip
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from recon.errors import FileFormatError, ReconError
from recon.io.mrd_header import parse_header

from .faults.catalogue import CASES
from .faults.comparison import compare
from .faults.scan import CT, VALUES, make, put_raw
from .reading import Found

FEW = VALUES[:5]


@pytest.fixture
def ask(reading, tmp_path):
    """Read; what is not a refusal comes back with its data."""

    def ask(path, **options):
        reader = {"use": "dicom_series", **options} if options else None
        saved = tmp_path / "values.npy"
        answer = reading(path, reader, saved)
        assert "crash" not in answer, answer
        assert answer["seconds"] < 2
        if "code" in answer:
            assert "\n" not in answer["text"]
            assert not any(word in answer["text"] for word in ("Nobody", "SYNTHETIC", "<script", "root:"))
            return answer["code"]
        return Found(answer, np.load(saved) if saved.exists() else None)

    return ask


def saved(name, folder):
    scan = CASES[name].build()
    scan.save(folder)
    return scan


def right(found, scan, tolerance=2e-3):
    assert not isinstance(found, str), found
    assert compare(found, scan.planes, tolerance) == ""


def one(folder, change=None, values=FEW):
    scan = make(values)
    if change:
        change(scan.slices[2])
    return scan, scan.save(folder)


def test_01_pixels_too_few(tmp_path, ask):
    _, paths = one(tmp_path)
    paths[2].write_bytes(paths[2].read_bytes()[:-300])
    assert ask(tmp_path) in ("RECON-DICOM-TRUNCATED", "RECON-DICOM-PIXELS")
    shorter = tmp_path / "shorter"
    one(shorter, lambda d: setattr(d, "PixelData", d.PixelData[:-200]))
    assert ask(shorter) in ("RECON-DICOM-TRUNCATED", "RECON-DICOM-PIXELS")


def test_02_pixels_too_many(tmp_path, ask):
    one(tmp_path, lambda d: setattr(d, "PixelData", d.PixelData * 2))
    assert ask(tmp_path) == "RECON-DICOM-PIXELS"


def test_03_huge_matrix_in_a_tiny_rle_frame(tmp_path, ask):
    def change(dataset):
        dataset.Rows = dataset.Columns = 65535
        dataset.file_meta.TransferSyntaxUID = RLELossless
        dataset.PixelData = encapsulate([struct.pack("<16I", 2, 64, 66, *[0] * 13) + b"\x81\0\x81\0"])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True

    _, paths = one(tmp_path, change)
    assert ask(paths[2]) == "RECON-DICOM-BOMB"


def test_04_element_longer_than_the_file(tmp_path, ask):
    _, paths = one(tmp_path)
    content = paths[0].read_bytes()
    for tag in (b"\x08\0\x08\0CS", b"\x10\0\x10\0PN"):
        at = content.index(tag)
        paths[0].write_bytes(content[:at] + tag[:4] + b"UN\0\0\xf0\xff\xff\xff" + content[at + 8 :])
        assert ask(paths[0]) in ("RECON-DICOM-LENGTH", "RECON-DICOM-DAMAGED")


def test_05_deflated_bomb(tmp_path, ask):
    saved("deflated", tmp_path)
    path = sorted(tmp_path.iterdir())[0]
    content = path.read_bytes()
    start = 144 + struct.unpack_from("<I", content, 140)[0]
    data = zlib.decompress(content[start:], -15)
    bomb = data[: data.index(b"\xe0\x7f\x10\0")] + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, 96 * 2**20)
    packer = zlib.compressobj(1, wbits=-15)
    parts = [packer.compress(bomb)] + [packer.compress(bytes(2**20)) for _ in range(96)] + [packer.flush()]
    path.write_bytes(content[:start] + b"".join(parts))
    assert ask(path) == "RECON-DICOM-BOMB"


def test_06_sequences_in_sequences(tmp_path, ask):
    _, paths = one(tmp_path)
    content = paths[0].read_bytes()
    at = content.index(b"\x10\0\x10\0PN")
    opening = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    paths[0].write_bytes(content[:at] + opening * 3000 + content[at:])
    assert ask(paths[0]) in ("RECON-DICOM-NESTING", "RECON-DICOM-DAMAGED")


def test_07_files_that_are_no_dicom(tmp_path, ask):
    scan, _ = one(tmp_path)
    (tmp_path / "notes.txt").write_text("Nobody")
    (tmp_path / "IM0003").write_bytes(bytes(1000))
    right(ask(tmp_path), scan)
    assert ask(tmp_path / "IM0003", series=1) == "RECON-DICOM-NOT-DICOM"


def test_08_preamble_of_a_program(tmp_path, ask):
    scan, paths = one(tmp_path)
    paths[1].write_bytes(b"MZ" + bytes(126) + paths[1].read_bytes()[128:])
    right(ask(tmp_path), scan)


def test_09_no_transfer_syntax(tmp_path, ask):
    _, paths = one(tmp_path)
    content = paths[1].read_bytes()
    paths[1].write_bytes(content.replace(b"\x02\0\x10\0UI", b"\x02\0\x17\0UI"))
    assert ask(paths[1]) == "RECON-DICOM-SYNTAX"
    assert str(ask(tmp_path)).startswith("RECON-DICOM-")


def test_10_two_series(tmp_path, ask):
    scan = saved("two_series", tmp_path)
    assert ask(tmp_path) == "RECON-DICOM-AMBIGUOUS"
    right(ask(tmp_path, series=1), scan)
    right(ask(tmp_path, series=2), replace(scan, planes=scan.extra))


def test_11_other_orientation_within_the_series(tmp_path, ask):
    found = saved("localizer_inside", tmp_path / "a")
    right(ask(tmp_path / "a"), found)
    scan, other = make(), make(VALUES[:3, ::-1], orientation=(1, 0, 0, 0, 0, -1), first=200)
    scan.slices += other.slices
    scan.save(tmp_path / "b")
    assert ask(tmp_path / "b") == "RECON-DICOM-ORIENTATION"


def test_12_a_place_twice(tmp_path, ask):
    scan = saved("slice_twice", tmp_path / "a")
    found = ask(tmp_path / "a")
    right(found, scan)
    assert found.notes
    saved("place_twice", tmp_path / "b")
    assert ask(tmp_path / "b") == "RECON-DICOM-DUPLICATE"


def test_13_slice_missing(tmp_path, ask):
    scan = saved("slice_missing", tmp_path)
    assert ask(tmp_path) == "RECON-DICOM-GAP"
    found = ask(tmp_path, gaps="nan")
    assert bool(found.data[5].isnan().all())
    assert any("missing" in note for note in found.notes)
    found.data[5] = torch.from_numpy(scan.planes[0][5].values)
    right(found, scan)


def test_14_uneven_steps(tmp_path, ask):
    saved("step_doubles", tmp_path)
    assert ask(tmp_path) in ("RECON-DICOM-UNEVEN", "RECON-DICOM-GAP")
    found = ask(tmp_path, gaps="resample")
    assert found.data.shape[0] == 11
    assert found.notes


def test_15_gantry_tilt(tmp_path, ask):
    scan = saved("gantry_tilt", tmp_path)
    found = ask(tmp_path)
    right(found, scan)
    assert any("tilt" in note for note in found.notes)
    upright = ask(tmp_path, untilt=True)
    axes = upright.affine[:3, :3] / np.linalg.norm(upright.affine[:3, :3], axis=0)
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-6)


def test_16_last_volume_cut_short(tmp_path, ask):
    scan = saved("last_volume_cut_short", tmp_path)
    assert ask(tmp_path) == "RECON-DICOM-UNEVEN-TIME"
    right(ask(tmp_path, drop_partial=True), replace(scan, planes=scan.planes[:2]))


@pytest.mark.parametrize("how", ["absent", "equal", "shuffled"])
def test_17_instance_numbers(tmp_path, ask, how):
    scan = saved(f"instance_numbers_{how}", tmp_path)
    right(ask(tmp_path), scan)


@pytest.mark.parametrize("what", ["orientation_missing", "position_missing_once", "spacing_missing"])
def test_18_geometry_missing(tmp_path, ask, what):
    saved(what, tmp_path)
    assert ask(tmp_path) == "RECON-DICOM-GEOMETRY"
    if what != "position_missing_once":
        assert ask(tmp_path, geometry="unknown").affine is None


@pytest.mark.parametrize("what", ["position_nan", "decimal_comma", "orientation_skew"])
def test_19_geometry_of_no_use(tmp_path, ask, what):
    saved(what, tmp_path)
    assert ask(tmp_path) == "RECON-DICOM-GEOMETRY"


@pytest.mark.parametrize("what", ["orientation_of_long_numbers", "orientation_of_three_decimals"])
def test_20_odd_decimals(tmp_path, ask, what):
    scan = saved(what, tmp_path)
    right(ask(tmp_path), scan, CASES[what].tolerance)


def test_21_monochrome1(tmp_path, ask):
    scan = saved("monochrome1", tmp_path)
    found = ask(tmp_path)
    right(found, scan)
    assert any("MONOCHROME1" in note for note in found.notes)


@pytest.mark.parametrize("what", ["slope_of_each_slice", "modality_table"])
def test_22_values_of_each_slice(tmp_path, ask, what):
    scan = saved(what, tmp_path)
    right(ask(tmp_path), scan)


def test_23_padding_value(tmp_path, ask):
    values = FEW.copy()
    values[:, :3] = -2000
    scan = make(values)
    for dataset in scan.slices:
        dataset.add_new("PixelPaddingValue", "SS", -2000)
    scan.save(tmp_path)
    right(ask(tmp_path), scan)
    assert bool(ask(tmp_path, padding="nan").data[:, :3].isnan().all())
    least = values[:, 3:].min(axis=(1, 2)) - 1024.0
    assert np.array_equal(ask(tmp_path, padding="clip").data[:, 0, 0].numpy(), least)


def test_24_unused_bits(tmp_path, ask):
    scan = saved("overlay_in_unused_bits", tmp_path)
    right(ask(tmp_path), scan)


def test_25_no_decoder(tmp_path, ask):
    def change(dataset):
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
        dataset.PixelData = encapsulate([bytes(200)])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True

    _, paths = one(tmp_path, change)
    assert ask(paths[2]) in ("RECON-DICOM-CODEC", "RECON-DICOM-TRUNCATED")


def test_26_signedness_against_the_codestream(ask):
    path = Path(get_testdata_file("J2K_pixelrep_mismatch.dcm", download=False))
    found = ask(path)
    if isinstance(found, str):
        assert found.startswith("RECON-DICOM-")
        return
    header = pydicom.dcmread(path)
    expected = header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)
    assert np.array_equal(found.data.squeeze().numpy(), expected)
    assert expected.min() >= -3024  # the sign is wrong by 8192 where the header alone is trusted


def test_27_colours(ask):
    for name in ("examples_rgb_color.dcm", "examples_palette.dcm", "SC_rgb_rle.dcm"):
        assert ask(Path(get_testdata_file(name, download=False))) == "RECON-DICOM-KIND"


def nifti(path, values=FEW, affine=None, **fields):
    """A NIfTI file with fields of its header changed after the fact."""
    image = nib.Nifti1Image(values, np.diag([2, 2, 2, 1]) if affine is None else affine)
    content = bytearray(image.to_bytes())
    header = np.frombuffer(content, nib.Nifti1Header.template_dtype, 1)
    for name, value in fields.items():
        header[name] = value
    packed = gzip.compress(bytes(content), 1) if path.suffix == ".gz" else bytes(content)
    path.write_bytes(packed)
    return packed


def test_28_nifti_cut_off(tmp_path, ask):
    plain, packed = tmp_path / "a.nii", tmp_path / "b.nii.gz"
    content = nifti(plain)
    plain.write_bytes(content[: len(content) // 2])
    assert ask(plain) == "RECON-IMAGE-TRUNCATED"
    content = nifti(packed)
    packed.write_bytes(content[: len(content) // 2])
    assert ask(packed) == "RECON-IMAGE-TRUNCATED"
    packed.write_bytes(content[:-8] + bytes(4) + content[-4:])
    assert ask(packed) == "RECON-IMAGE-CHECKSUM"
    nifti(plain)
    packed.write_bytes(plain.read_bytes())
    assert np.array_equal(ask(packed).data.numpy(), FEW.T)


def test_29_nifti_header(tmp_path, ask):
    path = tmp_path / "a.nii"
    for fields in (
        {"dim": [3, 30000, 30000, 30000, 1, 1, 1, 1]},
        {"dim": [3, -5, 20, 28, 1, 1, 1, 1]},
        {"dim": [0, 5, 20, 28, 1, 1, 1, 1]},
        {"vox_offset": 100},
        {"vox_offset": np.nan},
        {"vox_offset": 1e30},
        {"bitpix": 8},
        {"datatype": 9999},
    ):
        nifti(path, **fields)
        assert str(ask(path)).startswith(("RECON-NIFTI-HEADER", "RECON-IMAGE-")), fields


def test_30_gzip_bomb(tmp_path, ask):
    path = tmp_path / "a.nii.gz"
    content = gzip.decompress(nifti(path))
    trailing = gzip.compress(bytes(content) + bytes(80_000_000), 1)
    path.write_bytes(trailing)
    found = ask(path)
    assert np.array_equal(found.data.numpy(), FEW.T)
    assert found.notes
    nifti(path, dim=[3, 2000, 2000, 1500, 1, 1, 1, 1])
    assert str(ask(path)).startswith("RECON-IMAGE-")


def test_31_nifti_forms(tmp_path, ask):
    path = tmp_path / "a.nii"
    for broken in (np.nan, 0.0):
        nifti(path, srow_x=[broken] * 4, sform_code=1)
        assert ask(path) == "RECON-NIFTI-AFFINE"
    nifti(path, sform_code=0, qform_code=0)
    assert ask(path).affine is None
    nifti(path, sform_code=1, qform_code=1, qoffset_x=30)
    found = ask(path)
    assert found.affine[0, 3] == 0
    assert any("disagree" in note for note in found.notes)


def test_32_nifti_values_and_units(tmp_path, ask):
    path = tmp_path / "a.nii"
    values = FEW.astype(np.float32)
    values[0, 0, 0], values[1, 0, 0] = np.nan, np.inf
    nifti(path, values)
    found = ask(path)
    assert np.array_equal(found.data.numpy(), values.T, equal_nan=True)
    assert any("not finite" in note for note in found.notes)
    nifti(path, (FEW + 1j).astype(np.complex64))
    assert ask(path).data.is_complex()
    nifti(path, affine=np.diag([2000, 2000, 2000, 1]), xyzt_units=3)
    found = ask(path)
    assert np.allclose(found.affine, np.diag([2, 2, 2, 1]))
    assert found.notes


def test_33_hdf5_that_leads_elsewhere(tmp_path, ask):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["image"] = FEW
    path = tmp_path / "a.h5"

    def layout(file):
        whole = h5py.VirtualLayout((5, 20, 28), "i2")
        whole[:] = h5py.VirtualSource(secret, "image", (5, 20, 28))
        file.create_virtual_dataset("image", whole)

    for build in (
        lambda f: f.__setitem__("image", h5py.ExternalLink("secret.h5", "image")),
        lambda f: f.__setitem__("image", h5py.SoftLink("/elsewhere")),
        lambda f: f.create_dataset("image", (5, 8), "u1", external=[("/etc/passwd", 0, 40)]),
        lambda f: f.create_dataset("image", (40_000, 20_000, 10_000), "u1", chunks=(100, 100, 100), compression="gzip"),
        layout,
    ):
        with h5py.File(path, "w") as file:
            build(file)
        assert isinstance(ask(path), str)


def test_34_xml_with_entities():
    for text in ('<!DOCTYPE a [<!ENTITY b "c">]><ismrmrdHeader>&b;</ismrmrdHeader>', "<a", ""):
        with pytest.raises(FileFormatError):
            parse_header(text, "the header")


def test_35_code_in_weights(tmp_path):
    from recon_plugins.plug_and_play.weights import load_weights

    class Code:
        def __reduce__(self):
            return (tmp_path.joinpath("hit").touch, ())

    torch.save({"weight": Code()}, tmp_path / "a.pth")
    with pytest.raises(ReconError):
        load_weights(torch.nn.Linear(2, 2), tmp_path / "a.pth")
    assert not (tmp_path / "hit").exists()


@pytest.mark.filterwarnings("ignore")  # pydicom's, about what is written here
@pytest.mark.parametrize(
    "text", ["../../x", "<script>", "=cmd()", "\x1b[31m", "Nobody\nX", "Nobod\xff"], ids=list("abcdef")
)
def test_36_text_that_bites(tmp_path, ask, text):
    def change(dataset):
        for name in ("PatientName", "SeriesDescription", "ProtocolName", "PatientID"):
            put_raw(dataset, name, text)

    scan = make(FEW)
    for dataset in scan.slices:
        change(dataset)
    scan.save(tmp_path / "scan")
    right(ask(tmp_path / "scan"), scan)
    scan.slices[0].SOPClassUID = scan.slices[0].file_meta.MediaStorageSOPClassUID = CT + ".99"
    scan.save(tmp_path / "kind")
    assert ask(tmp_path / "kind").startswith("RECON-DICOM-")
