"""Damage that flipped bytes brought to light, each kind once: refused with a code."""

import struct
import zipfile

import h5py
import numpy as np
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGLosslessSV1

from recon_datasets.fastmri.synthetic import write_synthetic
from recon_datasets.ismrmrd.synthetic import point_encoding, point_readouts, write_points

from .faults.catalogue import CASES
from .faults.scan import CT, VALUES, make
from .faults.syntaxes import encapsulated


def packed(scan, stream, folder):
    """The scan's first slice with another stream of compressed pixels."""
    scan.slices[0].PixelData = encapsulate([stream])
    return scan.save(folder)[0]


def rle(change):
    scan = CASES["rle"].build()
    del scan.slices[1:]
    (stream,) = generate_frames(scan.slices[0].PixelData, number_of_frames=1)
    return scan, change(stream, *struct.unpack_from("<3I", stream))


@pytest.mark.parametrize("place", [0, 63, 2**23, 2**31, 2**32 - 1])
def test_rle_segment_beyond_the_stream(reading, tmp_path, place):
    """imagecodecs reads there, wherever that is."""
    scan, stream = rle(lambda stream, *_: stream[:8] + struct.pack("<I", place) + stream[12:])
    assert reading(packed(scan, stream, tmp_path))["code"] == "RECON-DICOM-TRUNCATED"


def test_rle_segment_of_another_length(reading, tmp_path):
    """A byte that moved from the second segment to the first: together, they are as long as ever."""

    def literal(values):
        runs = (values[at : at + 128] for at in range(0, len(values), 128))
        return b"".join(bytes([len(run) - 1]) + run for run in runs)

    def shifted(at):
        high, low = (VALUES[0] >> 8).astype("u1").tobytes(), (VALUES[0] & 255).astype("u1").tobytes()
        both = high + low
        first, second = literal(both[:at]), literal(both[at:])
        return struct.pack("<16I", 2, 64, 64 + len(first), *[0] * 13) + first + second

    half = VALUES[0].size
    for at, code in ((half, None), (half + 1, "RECON-DICOM-TRUNCATED"), (half - 1, "RECON-DICOM-TRUNCATED")):
        scan, stream = rle(lambda *_, at=at: shifted(at))
        assert reading(packed(scan, stream, tmp_path)).get("code") == code


@pytest.mark.parametrize(
    ("padding", "code"),
    [
        (b"\0" * 2, None),
        (b"\0" * 3, None),
        (b"\0" * 1000, None),
        (b"\0\1", "RECON-DICOM-TRUNCATED"),
        (b"\xff\0", "RECON-DICOM-TRUNCATED"),
        (b"\5" * 8, "RECON-DICOM-TRUNCATED"),
    ],
)
def test_rle_padding(reading, tmp_path, padding, code):
    """Some writers append zeros to the last segment, which would decode to more values."""
    scan, stream = rle(lambda stream, *_: stream + padding)
    answer = reading(packed(scan, stream, tmp_path), save=tmp_path / "values.npy")
    assert answer.get("code") == code
    if code is None:
        assert np.array_equal(np.load(tmp_path / "values.npy").squeeze(), VALUES[0].astype(np.float32) - 1024)


@pytest.mark.parametrize("bits", [13, 14, 15, 16, 21])
def test_jpeg2000_of_more_bits_than_declared(reading, tmp_path, bits):
    """The decoder adds half of the range that the codestream states: all values would be shifted."""
    pytest.importorskip(CASES["jpeg2000"].needs)
    scan = CASES["jpeg2000"].build()
    (stream,) = generate_frames(scan.slices[0].PixelData, number_of_frames=1)
    assert stream[42] == 11  # bits - 1
    damaged = stream[:42] + bytes([bits - 1]) + stream[43:]
    del scan.slices[1:]
    assert "code" not in reading(packed(scan, stream, tmp_path))
    assert reading(packed(scan, damaged, tmp_path))["code"] == "RECON-DICOM-PIXELS"


def test_jpeg_lossless_predictions_that_run_astray(reading, tmp_path):
    """A codestream of 12 bits that decodes to more."""
    codecs = pytest.importorskip("imagecodecs")
    scan = encapsulated(JPEGLosslessSV1, lambda p: codecs.ljpeg_encode(p, bitspersample=12), VALUES[:1])
    assert "code" not in reading(scan.save(tmp_path)[0])
    wide = bytearray(codecs.ljpeg_encode((VALUES[0].astype(np.uint16) << 3), bitspersample=16))
    at = wide.index(b"\xff\xc3") + 4
    assert wide[at] == 16
    wide[at] = 12
    assert reading(packed(scan, bytes(wide), tmp_path))["code"] == "RECON-DICOM-TRUNCATED"


@pytest.mark.parametrize(("at", "value"), [(4, 140), (4, 17), (9, 3)], ids=["bits", "bit", "colours"])
def test_jpeg_lossless_of_more_bits_than_a_pixel_has(reading, tmp_path, at, value):
    """GDCM, where it is the decoder, ends the process."""
    codecs = pytest.importorskip("imagecodecs")
    stream = bytearray(codecs.ljpeg_encode(VALUES[0].astype(np.uint16), bitspersample=12))
    stream[stream.index(b"\xff\xc3") + at] = value
    scan = encapsulated(JPEGLosslessSV1, lambda _: stream, VALUES[:1])
    assert reading(scan.save(tmp_path)[0])["code"] == "RECON-DICOM-PIXELS"


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_zip_archive_damaged_within_or_packed_unusually(reading, tmp_path, method):
    path = tmp_path / "scan.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for slice_path in make(VALUES[:3]).save(tmp_path / "scan"):
            archive.write(slice_path, slice_path.name)
    if method == zipfile.ZIP_DEFLATED:
        content = bytearray(path.read_bytes())
        content[200:208] = b"\xff" * 8
        path.write_bytes(content)
    assert reading(path)["code"] == "RECON-IMAGE-UNKNOWN"
    assert reading(path, reader="dicom_series")["code"] == "RECON-DICOM-ZIP"


@pytest.mark.parametrize(("keep", "lose"), [("Slope", "Intercept"), ("Intercept", "Slope")])
def test_slope_without_intercept(reading, tmp_path, keep, lose):
    scan = make(VALUES[:3])
    delattr(scan.slices[1], f"Rescale{lose}")
    scan.save(tmp_path)
    answer = reading(tmp_path)
    assert answer["code"] == "RECON-DICOM-RESCALE"
    assert f"{keep.lower()} but no {lose.lower()}" in answer["text"]


def test_slice_of_an_unknown_kind_is_not_left_out(reading, tmp_path):
    scan = make(VALUES[:3])
    first = scan.slices[0]
    first.SOPClassUID = first.file_meta.MediaStorageSOPClassUID = CT + "9"
    scan.save(tmp_path)
    assert reading(tmp_path)["code"] == "RECON-DICOM-KIND"


def test_hdf5_chunk_that_lost_its_filter(reading, tmp_path):
    """HDF5 takes packed bytes for values and fills the chunk up with what memory holds."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("image", data=VALUES[:2] % 64, chunks=(1, 20, 28), compression="gzip")
    assert "code" not in reading(path)
    content = bytearray(path.read_bytes())
    at = content.index(b"\x01\x01\0\0\0\0\0\0\x01\0") - 8
    assert content[at] == 11  # the message that describes filters
    content[at] = 0
    path.write_bytes(content)
    assert reading(path)["code"] == "RECON-HDF5-DAMAGED"


def test_hdf5_filter_skipped_for_one_chunk(reading, tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        options = {"chunks": (1, 20, 28), "compression": "gzip", "shuffle": True, "fletcher32": True}
        data = file.create_dataset("image", data=VALUES[:2], **options)
        raw = VALUES[1].tobytes()
        data.id.write_direct_chunk((1, 0, 0), raw, filter_mask=0b111)
    assert "code" not in reading(path)
    with h5py.File(path, "r+") as file:
        file["image"].id.write_direct_chunk((1, 0, 0), raw[:-100], filter_mask=0b111)
    assert reading(path)["code"] == "RECON-HDF5-DAMAGED"


def test_hdf5_name_of_a_datatype(reading, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image"] = np.dtype("<f4")
    assert reading(tmp_path / "a.h5")["code"] == "RECON-HDF5-KIND"


def _fastmri(path):
    write_synthetic(path, slices=1, coils=1, shape=(16, 12), size=(10, 10))
    with h5py.File(path, "r+") as file:  # as long as those of scanners
        header = file["ismrmrd_header"][()]
        del file["ismrmrd_header"]
        file["ismrmrd_header"] = header + b" " * 2**20


def _ismrmrd(path):
    matrix, fov = (512, 4, 1), (160, 120, 5)
    write_points(path, point_readouts([(0, 0, 0)], matrix=matrix, fov=fov), point_encoding(matrix, fov))


def _text(path):
    with h5py.File(path, "w") as file:
        file["image"] = VALUES[:1]
        file["image"].attrs["unit"] = "HU" + " " * 2**20


@pytest.mark.parametrize("write", [_fastmri, _ismrmrd, _text])
@pytest.mark.parametrize("damage", ["length", "number", "free space", "end"])
def test_hdf5_heap(reading, tmp_path, write, damage):
    """HDF5 never comes to the end of some heaps."""
    path = tmp_path / "a.h5"
    write(path)
    assert "code" not in reading(path)
    content = bytearray(path.read_bytes())
    heap = content.rindex(b"GCOL")
    at = content.rindex(struct.pack("<Q", heap)) - 4
    if damage == "length":
        content[at : at + 4] = struct.pack("<I", 8)
    elif damage == "number":
        content[at + 12] ^= 16
    elif damage == "free space":
        content[heap + 16 : heap + 32] = bytes(16)
    else:
        content[heap + 8 : heap + 16] = b"\xff" * 8
    path.write_bytes(content)
    assert reading(path)["code"] == "RECON-HDF5-DAMAGED"


def test_ismrmrd_head_of_another_type(reading, tmp_path):
    """A float with another bias: h5py loses the place of the lists that follow, and ends the process."""
    path = tmp_path / "a.h5"
    _ismrmrd(path)
    content = bytearray(path.read_bytes())
    bias = content.index(b"phase_dir") - 4
    assert content[bias] == 127
    content[bias] = 95
    path.write_bytes(content)
    answer = reading(path)
    assert "damaged" in answer["text"]
    assert "code" in answer


@pytest.mark.parametrize("where", ["layout", "index"])
def test_hdf5_chunks_for_larger_elements(reading, tmp_path, where):
    """HDF5 writes beyond its memory."""
    path = tmp_path / "a.h5"
    _ismrmrd(path)
    with h5py.File(path) as file:
        size = file["dataset/data"].dtype.itemsize
    content = bytearray(path.read_bytes())
    layout = content.rindex(b"\3\2\2", 0, content.index(b"GCOL"))
    assert content[layout + 15 : layout + 19] == struct.pack("<I", size)
    index = struct.unpack_from("<Q", content, layout + 3)[0] + 24  # its first key: bytes of a chunk
    assert content[index : index + 4] == struct.pack("<I", size)
    content[layout + 16 if where == "layout" else index + 1] = 33
    path.write_bytes(content)
    assert reading(path)["code"] == "RECON-HDF5-DAMAGED"
