"""Siemens raw data, on files written by twixtools: no scanner's file is at hand."""

import numpy as np
import pytest
import torch

pytest.importorskip("twixtools", exc_type=ImportError)

import recon
from recon.errors import FileFormatError
from recon.io.raw.readouts import HEAD, Readouts
from recon.kspace import root_sum_of_squares
from recon.testing import conformance_tests
from recon_datasets.ismrmrd.synthetic import point_encoding, point_readouts, write_points
from recon_datasets.twix import TwixReader, write_twix_points
from recon_datasets.twix.blocks import directions
from recon_datasets.twix.synthetic import protocol_text, quaternion_of

test_conformance = conformance_tests("twix")

SHOWN, FOV = (8, 12, 1), (80.0, 72.0, 5.0)
MATRIX, WIDE = (16, 12, 1), (160.0, 72.0, 5.0)


def frame(turn=0.3, tilt=-0.4):
    """Readout, phase and slice direction, of which phase, readout and slice are right-handed as Siemens' are."""
    c, s, a, b = np.cos(turn), np.sin(turn), np.cos(tilt), np.sin(tilt)
    axes = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]]) @ np.array([[1, 0, 0], [0, a, b], [0, -b, a]])
    return axes[[1, 0, 2]]


def points(**changes):
    position = np.array([12.0, -7.0, 40.0])
    place = position + np.array([2 * 10, -3 * 6, 0]) @ frame()
    readouts = point_readouts(
        [place], **{"matrix": MATRIX, "fov": WIDE, "position": position, "directions": frame(), "sign": 1, **changes}
    )
    readouts.head["idx"]["user"][:, 5] = 6
    return readouts, place


def write(path, readouts, flags=None, protocol=None):
    write_twix_points(path, readouts, protocol or protocol_text(SHOWN, FOV), flags)
    return path


def test_a_point_is_where_it_was(tmp_path):
    readouts, place = points()
    m = recon.read(write(tmp_path / "meas.dat", readouts))
    assert m.data.shape == (1, 2, 12, 8)
    image = m.image(root_sum_of_squares(m.operator().adjoint(m.data)))
    index = np.unravel_index(int(image.data.argmax()), image.data.shape)[::-1]
    np.testing.assert_allclose((image.affine @ [*index, 1])[:3], place * [-1, -1, 1], atol=1e-3)
    assert image.voxel_size == pytest.approx((10, 6, 5))
    assert m.metadata["field_strength_T"] == pytest.approx(2.89362)
    assert (m.metadata["repetition_time_ms"], m.metadata["echo_time_ms"]) == (500, 4.5)


def test_the_same_scan_as_ismrmrd(tmp_path):
    """What the reader of ISMRMRD makes of a converted file."""
    readouts, _ = points(lines=[0, 2, 4, 5, 6, 7, 8, 10])
    flags = [["PATREFSCAN"] if line in (5, 7) else ["PATREFSCAN", "PATREFANDIMASCAN"] if 4 <= line <= 8 else []
             for line in readouts.counter("kspace_encode_step_1").tolist()]  # fmt: skip
    a = recon.read(write(tmp_path / "meas.dat", readouts, flags))
    for row, names in zip(readouts.head, flags, strict=True):
        row["flags"] = np.uint64(0 if not names else 1 << (20 if len(names) == 2 else 19))
    encoding = point_encoding(MATRIX, WIDE, shown=SHOWN)
    write_points(tmp_path / "a.h5", readouts, encoding, vendor="SIEMENS")
    b = recon.read(tmp_path / "a.h5")
    assert torch.equal(a.data, b.data)
    assert torch.equal(a.calibration, b.calibration)
    assert torch.equal(a.operator_config["mask"], b.operator_config["mask"])
    np.testing.assert_allclose(a.affine, b.affine, atol=1e-5)


def test_directions_agree_with_twixtools():
    """Its matrix turns phase, readout and slice of images by an inverse transform: the first two are reversed."""
    from twixtools.geometry import quat_to_rotmat

    np.testing.assert_allclose(directions(quaternion_of(frame())), frame(), atol=1e-12)
    matrix = quat_to_rotmat(*quaternion_of(frame()))
    np.testing.assert_allclose(directions(quaternion_of(frame())), matrix.T[[1, 0, 2]], atol=1e-12)


def test_noise_reflected_lines_and_feedback(tmp_path):
    readouts, _ = points()
    plain = recon.read(write(tmp_path / "plain.dat", readouts))
    backwards = readouts.counter("kspace_encode_step_1") % 2 == 1
    data = [d[:, ::-1] if turned else d for d, turned in zip(readouts.data, backwards, strict=True)]
    random = np.random.default_rng(0)
    extra = np.zeros(2, dtype=HEAD)
    extra["read_dir"], extra["phase_dir"], extra["slice_dir"] = frame()
    extra["center_sample"] = 8
    noise = [random.standard_normal((2, 384, 2), dtype=np.float32).view(np.complex64)[..., 0], data[3]]
    both = Readouts(np.concatenate([extra, readouts.head]), [*noise, *data])
    flags = [["NOISEADJSCAN"], ["RTFEEDBACK"], *([["REFLECT"] if turned else [] for turned in backwards])]
    path = write(tmp_path / "meas.dat", both, flags)
    m = recon.read(path, reader={"use": "twix", "whiten": False})
    assert torch.equal(m.data, plain.data)
    assert m.notes[0] == "1 real-time feedback readouts left out"
    whitened = recon.read(path)
    assert "whitened by 384 samples of noise" in whitened.notes
    # Noise at 20 us a sample, the image at 5 us: four times the variance, and 1 / 0.793 for the receiver's filter.
    scale = torch.linalg.vector_norm(whitened.data) / torch.linalg.vector_norm(plain.data)
    assert float(scale) == pytest.approx((1 / (4 / 0.793)) ** 0.5, rel=0.1)


def test_volumes_and_partial_fourier(tmp_path):
    shown, fov, matrix, wide = (8, 12, 6), (80.0, 72.0, 30.0), (16, 12, 6), (160.0, 72.0, 30.0)
    position = np.array([1.0, 2.0, 3.0])
    place = position + np.array([10, 12, -5]) @ frame()
    readouts = point_readouts([place], matrix=matrix, fov=wide, position=position, directions=frame(), sign=1)
    kept = readouts.take(readouts.counter("kspace_encode_step_1") >= 3)
    kept.head["idx"]["kspace_encode_step_1"] -= 3
    kept.head["idx"]["user"][:, 5:7] = 3, 3
    m = recon.read(write(tmp_path / "meas.dat", kept, protocol=protocol_text(shown, fov)))
    assert m.data.shape == (1, 2, 6, 12, 8)
    assert m.operator_config["mask"][0, :, 0].tolist() == [False] * 3 + [True] * 9
    image = m.image(root_sum_of_squares(m.operator().adjoint(m.data)))
    index = np.unravel_index(int(image.data.argmax()), image.data.shape)[::-1]
    np.testing.assert_allclose((image.affine @ [*index, 1])[:3], place * [-1, -1, 1], atol=1e-3)


def test_bad_files_are_one_clear_line(tmp_path):
    readouts, _ = points()
    path = write(tmp_path / "meas.dat", readouts)
    content = path.read_bytes()
    cases = {
        "cut.dat": (content[: len(content) - 700], "cut off"),
        "half.dat": (content[:12000], "cut off"),
        "text.dat": (b"just a table of numbers\n" * 100, "is not a raw data file"),
        "empty.dat": (b"", "is not a raw data file"),
    }
    for name, (part, message) in cases.items():
        (tmp_path / name).write_bytes(part)
        with pytest.raises(FileFormatError, match=message) as caught:
            TwixReader().read(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(FileFormatError, match="does not exist"):
        TwixReader().read(tmp_path / "missing.dat")
    assert not (tmp_path / "missing.dat").exists()
    with pytest.raises(FileFormatError, match="holds 1 scans; there is no 3"):
        TwixReader(scan=3).read(path)
    radial = write(tmp_path / "radial.dat", readouts, protocol=protocol_text(SHOWN, FOV, trajectory=2))
    with pytest.raises(FileFormatError, match="a radial scan whose readouts hold no trajectory"):
        TwixReader().read(radial)
    bare = protocol_text(SHOWN, FOV).replace(b"lBaseResolution", b"lSomethingElsexx"[:15])
    with pytest.raises(FileFormatError, match="states no matrix"):
        TwixReader().read(write(tmp_path / "bare.dat", readouts, protocol=bare))
    zero = readouts.take(np.arange(len(readouts)) < 1)
    noise_alone = write(tmp_path / "noise.dat", zero, flags=[["NOISEADJSCAN"]])
    with pytest.raises(FileFormatError, match="none of 1 readouts is of an image"):
        TwixReader().read(noise_alone)


def test_nothing_is_printed_or_touched(tmp_path, capsys):
    readouts, _ = points()
    path = write(tmp_path / "meas.dat", readouts)
    before, time = path.read_bytes(), path.stat().st_mtime_ns
    path.chmod(0o400)
    capsys.readouterr()
    recon.read(path)
    assert capsys.readouterr() == ("", "")
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, time)
