"""What a scan holds: counters, averages, volumes, calibration, echo-planar lines, several encodings."""

import numpy as np
import pytest
import torch

import recon
from recon.errors import FileFormatError, ParameterError, UsageError
from recon.io.mrd_header import header_xml
from recon.io.raw.grid import without_oversampling
from recon.io.raw.readouts import Readouts
from recon.kspace import crop_centred, fft_centred, ifft_centred
from recon_datasets.ismrmrd import ISMRMRDReader, write_readouts
from recon_datasets.ismrmrd.synthetic import axial, point_encoding, point_readouts

from .scans import FOV, MATRIX, flag, joined, magnitude, peak, slice_scan, write


def test_removing_oversampling_is_a_crop_of_the_image():
    generator = torch.Generator().manual_seed(0)
    for wide, keep in ((16, 8), (20, 10), (24, 12), (16, 6), (15, 8)):
        y = torch.randn(3, 2, wide, dtype=torch.complex128, generator=generator)
        expected = fft_centred(crop_centred(ifft_centred(y, 1), (keep,)), 1)
        torch.testing.assert_close(without_oversampling(y, keep), expected)


def test_every_counter_is_an_axis(tmp_path):
    parts = []
    for repetition in range(2):
        for contrast in range(3):
            for number in (1, 0):  # the second slice first
                part = slice_scan(slice_number=number, position=(0, 0, 10 - 8.0 * number))
                part.head["idx"]["repetition"], part.head["idx"]["contrast"] = repetition, contrast
                value = 100 * repetition + 10 * contrast + number + 1
                parts.append(Readouts(part.head, [d * value for d in part.data]))
    path = write(tmp_path / "a.h5", joined(*parts))
    m = recon.read(path)
    assert m.data.shape == (12, 2, 12, 16)
    assert m.dims == ("repetition", "contrast", "z", "y", "x")
    assert m.batch == (2, 3, 2)
    unit = torch.from_numpy(np.stack(slice_scan().data, 1))
    values = torch.tensor([[[100 * r + 10 * c + s + 1 for s in (1, 0)] for c in range(3)] for r in range(2)])
    torch.testing.assert_close(m.data, values.reshape(12, 1, 1, 1) * unit)
    assert m.affine[:3, 2].tolist() == [0, 0, 8]  # slice 1 lies below slice 0
    assert m.affine[2, 3] == 2
    image = magnitude(m)
    assert image.shape == (2, 3, 2, 12, 16)
    assert image.data[1, 2, 0].max() == pytest.approx(122 * float(image.data[0, 0, 1].max()), rel=1e-4)
    one = recon.read(path, reader={"use": "ismrmrd", "select": {"repetition": 1, "contrast": 2}})
    assert one.dims == ("z", "y", "x")
    assert torch.equal(one.data, m.data[10:])
    with pytest.raises(FileFormatError, match=r"none of 144 readouts is of an image \(encoding=0, contrast=7\)"):
        recon.read(path, reader={"use": "ismrmrd", "select": {"contrast": 7}})
    with pytest.raises((UsageError, ParameterError), match="select knows average"):
        recon.build("reader", "ismrmrd", select={"echo": 1})


def test_averages(tmp_path):
    parts = []
    for average in range(2):
        part = slice_scan(lines=range(12) if average == 0 else range(4, 8))
        part.head["idx"]["average"] = average
        parts.append(Readouts(part.head, [d * (1 + 2 * average) for d in part.data]))
    path = write(tmp_path / "a.h5", joined(*parts))
    plain = recon.read(write(tmp_path / "b.h5")).data
    mean = recon.read(path)
    torch.testing.assert_close(mean.data[:, :, 4:8], 2 * plain[:, :, 4:8])
    torch.testing.assert_close(mean.data[:, :, :4], plain[:, :, :4])
    assert any("mean of 2 averages" in note for note in mean.notes)
    stacked = recon.read(path, reader={"use": "ismrmrd", "averages": "stack"})
    assert stacked.dims == ("average", "z", "y", "x")
    torch.testing.assert_close(stacked.data[1, :, 4:8], 3 * plain[0, :, 4:8])
    assert stacked.operator_config["mask"].shape == (2, 1, 12, 1)
    assert stacked.operator_config["mask"][1, 0, :, 0].tolist() == [4 <= line < 8 for line in range(12)]


def test_volumes(tmp_path):
    matrix, fov = (16, 12, 7), (80.0, 72.0, 21.0)
    turned = axial(0.3, 0.2)
    position = np.array([7.0, -3.0, 20.0])
    place = position + np.array([2 * 5, -1 * 6, 3 * 3]) @ turned
    readouts = point_readouts([place], matrix=matrix, fov=fov, position=position, directions=turned)
    m = recon.read(write(tmp_path / "a.h5", readouts, point_encoding(matrix, fov, shown=(8, 12, 7))))
    assert m.data.shape == (1, 2, 7, 12, 8)
    assert m.operator_config == {"use": "fourier", "dimensions": 3}
    assert m.dims == ("z", "y", "x")
    np.testing.assert_allclose(peak(magnitude(m)), place * [-1, -1, 1], atol=1e-4)
    chosen = np.random.default_rng(0).random(84) < 0.5
    sampled = recon.read(write(tmp_path / "b.h5", readouts.take(chosen), point_encoding(matrix, fov, shown=(8, 12, 7))))
    assert sampled.operator_config["mask"].shape == (7, 12, 1)
    assert torch.equal(sampled.operator_config["mask"].flatten(), torch.from_numpy(chosen))
    torch.testing.assert_close(sampled.data, torch.where(sampled.operator_config["mask"], m.data, 0))


def test_calibration_lines(tmp_path):
    lines = slice_scan()
    numbers = lines.counter("kspace_encode_step_1")
    central, even = np.abs(numbers - 6) <= 2, numbers % 2 == 0
    flag_of = np.where(central & even, 21, np.where(central, 20, 0))
    for i, number in enumerate(flag_of):
        lines.head["flags"][i] = np.uint64(1 << (int(number) - 1)) if number else 0
    path = write(tmp_path / "a.h5", lines.take(central | even))
    m = recon.read(path)
    plain = recon.read(write(tmp_path / "b.h5"))
    assert m.operator_config["mask"][:, 0].tolist() == even.tolist()
    central, even = torch.from_numpy(central)[:, None], torch.from_numpy(even)[:, None]
    assert torch.equal(m.data, torch.where(even, plain.data, 0))
    assert torch.equal(m.calibration, torch.where(central, plain.data, 0))
    merged = recon.read(path, reader={"use": "ismrmrd", "calibration_lines": "merge"})
    assert merged.calibration is None
    assert torch.equal(merged.data, torch.where(central | even, plain.data, 0))


def test_one_calibration_serves_all_repetitions(tmp_path):
    parts = []
    for repetition in range(3):
        parts.append(slice_scan(lines=range(0, 12, 2)))
        parts[-1].head["idx"]["repetition"] = repetition
    once = flag(slice_scan(lines=range(4, 9)), 20)
    m = recon.read(write(tmp_path / "a.h5", joined(once, *parts)))
    assert m.calibration.shape == m.data.shape == (3, 2, 12, 16)
    assert torch.equal(m.calibration[2], m.calibration[0])
    assert m.calibration[0].abs().sum((0, 2)).nonzero().flatten().tolist() == [4, 5, 6, 7, 8]


def test_echo_planar_lines(tmp_path):
    lines = slice_scan()
    backwards = lines.counter("kspace_encode_step_1") % 2 == 1
    data = [d[:, ::-1] if turned else d for d, turned in zip(lines.data, backwards, strict=True)]
    lines.head["flags"][backwards] = np.uint64(1 << 21)
    navigators = flag(slice_scan(lines=[6, 6, 6]), 24)
    encoding = point_encoding(MATRIX, FOV, trajectory="epi")
    m = recon.read(write(tmp_path / "a.h5", joined(navigators, Readouts(lines.head, data)), encoding))
    assert torch.equal(m.data, recon.read(write(tmp_path / "b.h5")).data)
    assert m.notes == ("3 EPI phase-correction readouts left out; odd and even lines are not aligned",)


def test_partial_echoes_and_discarded_samples(tmp_path):
    full = slice_scan()
    plain = recon.read(write(tmp_path / "b.h5"))
    for turned in (False, True):
        junk = np.full((2, 3), 1e6, np.complex64)
        # Columns 5 to 15, echo at column 8: sample 3 of 11, or 7 when measured backwards; 3 and 3 more are discarded.
        kept = [d[:, 5:][:, ::-1] if turned else d[:, 5:] for d in full.data]
        head = full.head.copy()
        head["number_of_samples"], head["discard_pre"], head["discard_post"] = 17, 3, 3
        head["center_sample"] = 3 + (7 if turned else 3)
        head["flags"] = np.uint64(1 << 21) if turned else 0
        lines = Readouts(head, [np.concatenate([junk, d, junk], 1) for d in kept])
        m = recon.read(write(tmp_path / "a.h5", lines, point_encoding(MATRIX, FOV, shown=(8, 12, 1))))
        columns = torch.arange(16) >= 5
        assert torch.equal(m.data, torch.where(columns, plain.data, 0))
        assert torch.equal(m.operator_config["mask"], columns.expand(12, 16))
        assert m.crop == (12, 8)
        assert "oversampling is cropped after" in m.notes[0]


def test_compression(tmp_path):
    path = write(tmp_path / "a.h5", slice_scan(coils=4))
    m = recon.read(path, reader={"use": "ismrmrd", "compress": 1})
    assert m.data.shape == (1, 1, 12, 16)
    plain = recon.read(path)
    torch.testing.assert_close(magnitude(m).data, magnitude(plain).data)  # four coils of one sensitivity are one


def test_several_scans_and_encodings(tmp_path):
    path = write(tmp_path / "a.h5")
    text = header_xml(point_encoding(MATRIX, FOV), {}, coils=2)
    doubled = Readouts(slice_scan().head, [2 * d for d in slice_scan().data])
    write_readouts(path, text, doubled, group="dataset_2", append=True)
    with pytest.raises(FileFormatError, match="several scans, dataset, dataset_2: say which with group="):
        recon.read(path)
    one, two = (ISMRMRDReader(group=name).read(path) for name in ("dataset", "dataset_2"))
    assert torch.equal(two.data, 2 * one.data)
    with pytest.raises(FileFormatError, match="no scan 'third', but dataset, dataset_2"):
        ISMRMRDReader(group="third").read(path)
    other = slice_scan()
    other.head["encoding_space_ref"] = 1
    both = text.replace("</encoding>", "</encoding>" + text[text.index("<encoding>") : text.index("</encoding>") + 11])
    write_readouts(tmp_path / "b.h5", both, joined(slice_scan(lines=range(6)), other))
    m = recon.read(tmp_path / "b.h5")
    assert not m.data[:, :, 6:].any()
    assert m.notes[0].startswith("12 readouts of other encodings left out")
    assert torch.equal(ISMRMRDReader(encoding=1).read(tmp_path / "b.h5").data, one.data)
    with pytest.raises(FileFormatError, match="describes 2 encodings, not 2"):
        ISMRMRDReader(encoding=2).read(tmp_path / "b.h5")


def test_lines_measured_again_are_averaged(tmp_path):
    """Without a counter that tells them apart; also where their readouts are of different lengths."""
    again = slice_scan(lines=[3, 4])
    short = Readouts(again.head.copy(), [3 * d[:, 4:] for d in again.data])
    short.head["number_of_samples"], short.head["center_sample"] = 12, 4
    plain = recon.read(write(tmp_path / "a.h5")).data
    m = recon.read(write(tmp_path / "b.h5", joined(slice_scan(), short)))
    assert "2 lines were measured more than once: averaged" in m.notes
    torch.testing.assert_close(m.data[:, :, 3:5, 4:], 2 * plain[:, :, 3:5, 4:])
    torch.testing.assert_close(m.data[:, :, 3:5, :4], plain[:, :, 3:5, :4])
    torch.testing.assert_close(m.data[:, :, 5:], plain[:, :, 5:])
