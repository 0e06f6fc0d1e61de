"""ISMRMRD files: the traps of the format, real data, and other files refused."""

import os
import stat
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest
import torch

import recon
from recon.errors import FileFormatError, ParameterError, UsageError
from recon.io.mrd_header import header_xml
from recon.io.raw.grid import without_oversampling
from recon.io.raw.readouts import HEAD, Readouts
from recon.kspace import crop_centred, fft_centred, ifft_centred, root_sum_of_squares
from recon.testing import conformance_tests
from recon_datasets.fastmri import write_synthetic
from recon_datasets.ismrmrd import ISMRMRDReader, write_readouts
from recon_datasets.ismrmrd.synthetic import axial, point_encoding, point_readouts, write_points

test_conformance = conformance_tests("ismrmrd")

MATRIX, FOV = (16, 12, 1), (80.0, 72.0, 4.0)  # voxels of 5 x 6 x 4 mm
POINT = [[10.0, -12.0, 0.0]]
REAL = "mri_kspace/nhlbi_ismrmrd_R3/meas_MID00349_FID09273_SNR_R3.h5"


def joined(*parts: Readouts) -> Readouts:
    trajectory = None if parts[0].trajectory is None else [t for part in parts for t in part.trajectory]
    return Readouts(np.concatenate([p.head for p in parts]), [d for p in parts for d in p.data], trajectory)


def flag(readouts: Readouts, *numbers: int) -> Readouts:
    readouts.head["flags"] |= np.uint64(sum(1 << (number - 1) for number in numbers))
    return readouts


def slice_scan(**changes):
    return point_readouts(POINT, **{"matrix": MATRIX, "fov": FOV, **changes})


def write(path, readouts=None, encoding=None, **more):
    write_points(path, slice_scan() if readouts is None else readouts, encoding or point_encoding(MATRIX, FOV), **more)
    return path


def magnitude(measurement):
    """Reconstruct by the adjoint and root sum of squares, as an image in its place."""
    return measurement.image(root_sum_of_squares(measurement.operator().adjoint(measurement.data)))


def peak(image) -> np.ndarray:
    """Return where the brightest voxel lies, in RAS."""
    index = np.unravel_index(int(image.data.abs().argmax()), image.data.shape)[::-1]
    return (image.affine @ [*index, *[0] * (3 - len(index)), 1])[:3]


# The ten traps.


def test_1_flags_count_from_one(tmp_path):
    kept = slice_scan()
    for number in (*range(1, 19), 25):  # first and last in everything: of the image
        flag(Readouts(kept.head[number % 12 : number % 12 + 1], kept.data), number)
    assert len({int(flags) for flags in kept.head["flags"]}) > 6
    m = recon.read(write(tmp_path / "a.h5", kept))
    assert "mask" not in m.operator_config
    for number in (19, 23, 24, 26, 27, 28, 29, 30, 31):
        readouts = slice_scan()
        readouts.head["flags"][5] = np.uint64(1) << np.uint64(number - 1)
        m = ISMRMRDReader(whiten=False).read(write(tmp_path / f"{number}.h5", readouts))
        assert m.operator_config["mask"][:, 0].tolist() == [line != 5 for line in range(12)]
        assert not m.data[:, :, 5].any()
        assert number == 19 or any("1 " in note and "readouts left out" in note for note in m.notes)


def test_2_files_are_neither_made_nor_touched(tmp_path):
    missing = tmp_path / "missing.h5"
    with pytest.raises(FileFormatError, match="does not exist"):
        ISMRMRDReader().read(missing)
    with pytest.raises(FileFormatError, match="does not exist"):
        recon.read(missing)
    assert list(tmp_path.iterdir()) == []
    path = write(tmp_path / "a.h5")
    os.utime(path, ns=(10**18, 10**18))
    path.chmod(stat.S_IRUSR)
    before = path.read_bytes()
    modes = []
    real = h5py.File.__init__

    def spy(self, name, mode="r", **more):
        modes.append(mode)
        real(self, name, mode, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(h5py.File, "__init__", spy)
        recon.read(path)
    assert set(modes) == {"r"}
    assert path.stat().st_mtime_ns == 10**18
    assert path.read_bytes() == before


def test_3_headers_that_lack_what_the_schema_asks_for(tmp_path):
    text = """<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
        <encodedSpace><matrixSize><x>16</x><y>12</y></matrixSize></encodedSpace></encoding></ismrmrdHeader>"""
    write_readouts(tmp_path / "a.h5", text, slice_scan())
    m = recon.read(tmp_path / "a.h5")
    assert m.data.shape == (1, 2, 12, 16)
    assert m.affine is None
    assert m.voxel_size is None
    assert "no field of view" in m.notes[-1]
    reference = recon.read(write(tmp_path / "b.h5"))
    assert torch.equal(m.data, reference.data)


def test_4_channels_of_a_file_written_by_the_library(tmp_path):
    ismrmrd = pytest.importorskip("ismrmrd")
    readouts, path = slice_scan(coils=3), tmp_path / "a.h5"
    with ismrmrd.Dataset(path, "dataset", create_if_needed=True) as file:
        file.write_xml_header(header_xml(point_encoding(MATRIX, FOV), {}, coils=3).encode())
        for head, data in zip(readouts.head, readouts.data, strict=True):
            acquisition = ismrmrd.Acquisition.from_array(data)
            acquisition.center_sample = 8
            acquisition.idx.kspace_encode_step_1 = int(head["idx"]["kspace_encode_step_1"])
            for name in ("position", "read_dir", "phase_dir", "slice_dir"):
                getattr(acquisition, name)[:] = head[name].tolist()
            file.append_acquisition(acquisition)
    m = recon.read(path)
    own = recon.read(write(tmp_path / "b.h5", readouts))
    assert torch.equal(m.data, own.data)
    assert np.array_equal(m.affine, own.affine)
    assert torch.equal(m.data[0, :, 4, 7], torch.from_numpy(readouts.data[4][:, 7]))


def test_5_the_library_reads_what_is_written(tmp_path):
    ismrmrd = pytest.importorskip("ismrmrd")
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(2, 3, 7, 10, dtype=torch.complex64, generator=generator)
    mask = torch.arange(7)[:, None] % 2 == 0
    affine = np.array([[0, -1.5, 0, 10], [1.25, 0, 0, -20], [0, 0, 5, 30], [0, 0, 0, 1.0]])
    m = recon.io.Measurement(
        data=torch.where(mask, data, 0), operator_config={"use": "fourier", "mask": mask}, affine=affine,
        dims=("z", "y", "x"), crop=(5, 8), metadata={"field_strength_T": 3.0, "echo_time_ms": 4.5},
    )  # fmt: skip
    recon.write(m, tmp_path / "a.mrd")
    with ismrmrd.File(str(tmp_path / "a.mrd"), "r") as file:
        header, lines = file["dataset"].header, file["dataset"].acquisitions[:]
    encoded, shown = header.encoding[0].encodedSpace, header.encoding[0].reconSpace
    assert [encoded.matrixSize.x, encoded.matrixSize.y, encoded.matrixSize.z] == [10, 7, 1]
    assert [shown.matrixSize.x, shown.matrixSize.y] == [8, 5]
    assert shown.fieldOfView_mm.y == pytest.approx(5 * 1.5)
    assert header.sequenceParameters.TE == [4.5]
    assert header.acquisitionSystemInformation.systemFieldStrength_T == 3.0
    assert len(lines) == 8
    for line in lines:
        place = line.idx.slice, slice(None), line.idx.kspace_encode_step_1
        assert np.array_equal(line.data, m.data[place].numpy())
    assert list(lines[0].read_dir) == [0, -1, 0]
    back = recon.read(tmp_path / "a.mrd", reader={"use": "ismrmrd", "remove_oversampling": False})
    assert torch.equal(back.data, m.data)
    assert back.crop == m.crop
    np.testing.assert_allclose(back.affine, affine, atol=1e-5)


def test_6_centre_of_partial_fourier(tmp_path):
    full = recon.read(write(tmp_path / "full.h5"))
    partial = slice_scan(lines=range(4, 12))  # lines about the centre: -2 ... 5
    partial.head["idx"]["kspace_encode_step_1"] -= 4
    m = recon.read(write(tmp_path / "a.h5", partial, point_encoding(MATRIX, FOV, centre=(2, 0))))
    assert m.operator_config["mask"][:, 0].tolist() == [False] * 4 + [True] * 8
    assert torch.equal(m.data[:, :, 4:], full.data[:, :, 4:])
    wrong = point_encoding(MATRIX, FOV, centre=(6, 0))
    write(tmp_path / "b.h5", partial, wrong)
    b = ISMRMRDReader(centre=(2, 0)).read(tmp_path / "b.h5")
    assert torch.equal(b.data, m.data)
    # Siemens' lines say it themselves.
    partial.head["idx"]["user"][:, 5] = 2
    c = ISMRMRDReader(conjugate=False).read(write(tmp_path / "c.h5", partial, wrong, vendor="SIEMENS"))
    assert torch.equal(c.data, m.data)
    assert "6 by the header, 2 by the lines" in c.notes[0]
    with pytest.raises(FileFormatError, match=r"lines 0 to 7 of encoding step 1 about the centre 1 .* centre="):
        ISMRMRDReader(centre=(1, 0)).read(write(tmp_path / "d.h5", partial, point_encoding((16, 8, 1), FOV)))


def test_a_modulated_image_is_told(tmp_path):
    readouts = point_readouts(POINT, matrix=(16, 40, 1), fov=FOV)
    decay = np.exp(-(((np.arange(40) - 20) / 6) ** 2))
    data = [d * w for d, w in zip(readouts.data, decay, strict=True)]
    readouts = Readouts(readouts.head, data)
    assert recon.read(write(tmp_path / "a.h5", readouts, point_encoding((16, 40, 1), FOV))).notes == ()
    readouts = readouts.take(np.arange(40) >= 12)
    readouts.head["idx"]["kspace_encode_step_1"] -= 12
    m = recon.read(write(tmp_path / "b.h5", readouts, point_encoding((16, 40, 1), FOV, centre=(20, 0))))
    assert any("strongest line lies -12 off the centre of step 1" in note for note in m.notes)


@pytest.mark.parametrize("unit", ["cycles_per_fov", "cycles_per_pixel", "radians_per_pixel", "1/m", "rad/m"])
def test_7_trajectories_have_the_unit_that_is_said(tmp_path, unit):
    pytest.importorskip("finufft")
    matrix, fov = (64, 48, 1), (128.0, 120.0, 4.0)
    readouts, cycles = radial(matrix, fov)
    n, metres = np.array(matrix[:2]), np.array(fov[:2]) / 1000
    scale = {"cycles_per_fov": np.ones(2), "cycles_per_pixel": 1 / n, "radians_per_pixel": 2 * np.pi / n}
    scale |= {"1/m": 1 / metres, "rad/m": 2 * np.pi / metres}
    stored = Readouts(readouts.head, readouts.data, [(c * scale[unit]).astype(np.float32) for c in cycles])
    path = write(tmp_path / "a.h5", stored, point_encoding(matrix, fov, shown=(32, 48, 1), trajectory="radial"))
    with pytest.raises(FileFormatError, match="the format defines no unit, so say which"):
        recon.read(path)
    m = recon.read(path, reader={"use": "ismrmrd", "trajectory_unit": unit})
    assert m.data.shape == (1, 2, 31, 64)
    assert m.crop == (48, 32)
    np.testing.assert_allclose(m.operator_config["trajectory"].flip(-1).numpy(), np.stack(cycles), atol=1e-5)
    image = magnitude(m)
    assert image.shape == (1, 48, 32)
    np.testing.assert_allclose(peak(image), [-10, 15, 0], atol=1e-4)
    for wrong in scale.keys() - {unit}:
        with pytest.raises(FileFormatError, match="its unit is likely another one"):
            recon.read(path, reader={"use": "ismrmrd", "trajectory_unit": wrong})


def radial(matrix, fov, spokes=31):
    """Readouts of a point at LPS (10, -15, 0) along spokes, and their frequencies (x, y) in cycles per field."""
    angle = np.arange(spokes) * np.pi / spokes
    reach = np.arange(matrix[0]) / matrix[0] - 0.5
    cycles = [np.outer(reach, [np.cos(a) * matrix[0], np.sin(a) * matrix[1]]).astype(np.float32) for a in angle]
    head = np.zeros(spokes, dtype=HEAD)
    head["number_of_samples"], head["active_channels"], head["trajectory_dimensions"] = matrix[0], 2, 2
    head["read_dir"], head["phase_dir"], head["slice_dir"] = np.eye(3)
    place = np.array([10.0, -15.0]) / np.array(fov[:2])
    data = [np.outer([1, 1j], np.exp(-2j * np.pi * c @ place)).astype(np.complex64) for c in cycles]
    return Readouts(head, data, cycles), cycles


def test_8_images_of_siemens_are_not_turned(tmp_path):
    scans = {}
    for vendor, sign in (("GE", -1), ("SIEMENS", 1)):
        path = write(tmp_path / f"{vendor}.h5", slice_scan(sign=sign), vendor=vendor)
        scans[vendor] = recon.read(path)
        np.testing.assert_allclose(peak(magnitude(scans[vendor])), [-10, 12, 0], atol=1e-4)
    assert any("conjugated" in note for note in scans["SIEMENS"].notes)
    turned = recon.read(path, reader={"use": "ismrmrd", "conjugate": False})
    np.testing.assert_allclose(peak(magnitude(turned)), [10, -12, 0], atol=1e-4)


def noise(channels=2, samples=4000, seed=0, mix=None):
    random = np.random.default_rng(seed)
    values = random.standard_normal((2, channels, samples)) / 2**0.5
    data = (np.eye(channels) if mix is None else mix) @ (values[0] + 1j * values[1])
    head = np.zeros(1, dtype=HEAD)
    head["number_of_samples"], head["active_channels"], head["sample_time_us"] = samples, channels, 10.0
    return flag(Readouts(head, [data.astype(np.complex64)]), 19)


def test_9_noise_of_another_shape(tmp_path):
    mix = np.array([[2.0, 0.0], [1.0 + 1j, 0.5]])
    m = recon.read(write(tmp_path / "a.h5", joined(noise(mix=mix), slice_scan())))
    plain = recon.read(write(tmp_path / "b.h5"))
    # The noise was sampled at half the rate, so that of the image has twice the variance.
    covariance = 2 * mix @ mix.conj().T
    matrix = np.linalg.inv(np.linalg.cholesky(covariance)) * 2**0.5
    expected = np.einsum("cd,bdyx->bcyx", matrix, plain.data.numpy())
    assert np.linalg.norm(m.data.numpy() - expected) < 0.05 * np.linalg.norm(expected)
    assert m.notes == ("whitened by 4000 samples of noise",)
    path = write(tmp_path / "c.h5", joined(noise(channels=3), slice_scan()))
    with pytest.raises(
        FileFormatError, match=r"noise readouts have \[3\] channels, those of the image 2: .*whiten=False"
    ):
        recon.read(path)
    assert torch.equal(recon.read(path, reader={"use": "ismrmrd", "whiten": False}).data, plain.data)
    navigator = noise(channels=5, samples=3)
    navigator.head["flags"] = np.uint64(1 << 22)
    d = recon.read(write(tmp_path / "d.h5", joined(navigator, slice_scan())))
    assert torch.equal(d.data, plain.data)
    assert d.notes == ("1 navigator readouts left out",)
    path = write(tmp_path / "e.h5", joined(noise(samples=1), slice_scan()))
    with pytest.raises(FileFormatError, match="whiten=False"):
        recon.read(path)


@pytest.mark.parametrize("remove", [True, False])
@pytest.mark.parametrize(
    ("matrix", "shown"), [((16, 12, 1), (8, 10, 1)), ((16, 13, 1), (9, 8, 1)), ((15, 12, 1), (8, 7, 1))]
)
def test_10_oversampling_and_voxel_size(tmp_path, remove, matrix, shown):
    fov = (5.0 * matrix[0], 6.0 * matrix[1], 4.0)
    readouts = point_readouts(POINT, matrix=matrix, fov=fov)
    m = ISMRMRDReader(remove_oversampling=remove).read(
        write(tmp_path / "a.h5", readouts, point_encoding(matrix, fov, shown=shown))
    )
    assert m.data.shape == (1, 2, matrix[1], shown[0] if remove else matrix[0])
    assert m.crop == (shown[1], shown[0])
    image = magnitude(m)
    assert image.shape == (1, shown[1], shown[0])
    assert image.voxel_size == pytest.approx((5.0, 6.0, 4.0))
    np.testing.assert_allclose(peak(image), [-10, 12, 0], atol=1e-4)


def test_an_interpolated_matrix_is_not_a_crop(tmp_path):
    """A scanner that shows 32 columns of the 16 it measured interpolates; voxels stay as they were measured."""
    encoding = point_encoding(MATRIX, FOV)
    text = header_xml(encoding, {}, coils=2).replace("<x>16</x>", "<x>32</x>").replace("<x>32</x>", "<x>16</x>", 1)
    write_readouts(tmp_path / "a.h5", text, slice_scan())
    m = recon.read(tmp_path / "a.h5")
    assert m.metadata["recon_matrix"] == (32, 12, 1)
    assert m.crop is None
    assert m.voxel_size == pytest.approx((5, 6, 4))


def test_zero_directions_are_no_place(tmp_path):
    readouts = slice_scan()
    for name in ("read_dir", "phase_dir", "slice_dir"):
        readouts.head[name] = 0
    m = recon.read(write(tmp_path / "a.h5", readouts))
    assert m.affine is None
    assert m.voxel_size == pytest.approx((5, 6, 4))
    assert "no directions" in m.notes[0]


# What a scan holds.


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


def test_uneven_slices_have_no_place(tmp_path):
    places = [0, 5, 10, 16]
    parts = [slice_scan(slice_number=n, position=(0, 0, float(z))) for n, z in enumerate(places)]
    m = recon.read(write(tmp_path / "a.h5", joined(*parts)))
    assert m.affine is None
    assert "one distance" in m.notes[0]
    one = ISMRMRDReader(select={"slice": 3}).read(tmp_path / "a.h5")
    assert one.affine[2, 3] == 16
    turned = slice_scan(slice_number=1, directions=axial(tilt=1.5))
    b = recon.read(write(tmp_path / "b.h5", joined(slice_scan(), turned)))
    assert b.affine is None
    assert "different orientations" in b.notes[0]


# Geometry into other files.


def test_place_in_nifti_and_dicom(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    turned = axial(0.4, -0.3)
    parts, places = [], []
    for number in range(3):
        position = np.array([12.0, -7.0, 40.0]) + number * 6.5 * turned[2]
        places.append(position + np.array([(number + 1) * 5, -2 * 6, 0]) @ turned)
        weight = 3 - number if number != 1 else 10
        part = point_readouts(
            [places[-1]], matrix=MATRIX, fov=FOV, position=position, directions=turned, slice_number=number
        )
        parts.append(Readouts(part.head, [weight * d for d in part.data]))
    m = recon.read(write(tmp_path / "a.h5", joined(*parts), point_encoding(MATRIX, FOV, shown=(8, 9, 1))))
    image = magnitude(m)
    recon.write(image, tmp_path / "a.nii.gz")
    volume = nib.load(tmp_path / "a.nii.gz")
    index = np.unravel_index(volume.get_fdata().argmax(), volume.shape)
    np.testing.assert_allclose((volume.affine @ [*index, 1])[:3], places[1] * [-1, -1, 1], atol=1e-4)
    recon.write(image, tmp_path / "series")
    for file in sorted((tmp_path / "series").iterdir()):
        slice_ = pydicom.dcmread(file)
        row, column = np.unravel_index(slice_.pixel_array.argmax(), slice_.pixel_array.shape)
        across, down = np.split(np.array(slice_.ImageOrientationPatient, float), 2)
        spacing = np.array(slice_.PixelSpacing, float)
        at = np.array(slice_.ImagePositionPatient, float) + column * spacing[1] * across + row * spacing[0] * down
        assert np.abs(np.array(places) - at).max(1).min() < 1e-3
        assert slice_.Modality == "MR"
    back = recon.read(tmp_path / "series")
    np.testing.assert_allclose(back.affine, image.affine, atol=1e-4)
    torch.testing.assert_close(back.data, image.data, rtol=0, atol=float(image.data.max()) / 30000)


# Real data.


def test_real_phantom(shared_data):
    path = shared_data / REAL
    m = recon.read(path)
    assert m.data.shape == (1, 14, 144, 192)
    lines = m.operator_config["mask"][:, 0].nonzero().flatten()
    assert lines.tolist() == list(range(18, 124, 3))  # every third of 106 lines, number 54 in the middle
    calibrating = (m.calibration != 0).any(-1).any(1)[0].nonzero().flatten()
    assert calibrating.tolist() == list(range(48, 96))
    assert m.voxel_size == pytest.approx((280 / 192, 210 / 144, 8))
    with h5py.File(path) as file:
        raw = file["dataset/data"][:]
    by_line = {int(r["head"]["idx"]["kspace_encode_step_1"]): r["data"].view("c8").reshape(14, 384) for r in raw[1:]}
    stored = recon.read(
        path, reader={"use": "ismrmrd", "whiten": False, "conjugate": False, "remove_oversampling": False}
    )
    for line in (0, 54, 105):
        assert np.array_equal(stored.data[0, :, 18 + line].numpy(), by_line[line])
    # Between the object and the edge, where the receiver's filter is flat, whitened noise is 1 and independent.
    whitened = recon.read(path, reader={"use": "ismrmrd", "remove_oversampling": False})
    hybrid = ifft_centred(whitened.data[0, :, lines], 1)
    background = torch.cat([hybrid[..., 84:105], hybrid[..., 290:300]], -1)
    deviation = torch.view_as_real(background).std((1, 2, 3))
    assert deviation.mean() == pytest.approx(1, abs=0.1)
    flat = background.flatten(1)
    correlation = torch.corrcoef(flat).abs().fill_diagonal_(0)
    assert correlation.max() < 0.2
    # The centre of the image lies where the file says.
    centre = m.affine @ [96, 72, 0, 1]
    np.testing.assert_allclose(centre[:3], [-20.048, -66.570, 0], atol=1e-3)


def test_real_phantom_lies_the_right_way_up(shared_data):
    """The bubble of air in the bottle is on top: the patient, head first and supine, looks there.

    Siemens' samples have to be conjugated for that.
    """
    m = recon.read(shared_data / REAL)
    image = root_sum_of_squares(ifft_centred(m.calibration))[0, 0]
    bubble, beside = image[41:44, 136:141].mean(), (image[41:44, 130].mean() + image[41:44, 146].mean()) / 2
    assert bubble < 0.4 * beside
    assert image[115:119, 136:141].mean() > 0.9 * (image[115:119, 130].mean() + image[115:119, 146].mean()) / 2
    anterior = [(m.affine @ [138, row, 0, 1])[1] for row in (42, 82, 117)]
    assert anterior[0] > anterior[1] > anterior[2]


def test_a_measurement_file_keeps_what_a_scan_has(shared_data, tmp_path):
    m = ISMRMRDReader(remove_oversampling=False).read(shared_data / REAL)
    recon.write(m, tmp_path / "a.h5")
    back = recon.read(tmp_path / "a.h5")
    assert torch.equal(back.data, m.data)
    assert torch.equal(back.calibration, m.calibration)
    assert back.crop == m.crop == (144, 192)
    recon.write(m, tmp_path / "a.mrd")
    back = ISMRMRDReader(remove_oversampling=False).read(tmp_path / "a.mrd")
    assert torch.equal(back.data, m.data)
    assert torch.equal(back.calibration, m.calibration)
    assert torch.equal(back.operator_config["mask"], m.operator_config["mask"])
    np.testing.assert_allclose(back.affine, m.affine, atol=1e-4)
    parts = recon.io.Measurement(data=torch.zeros(6, 1, 4, 5), dims=("repetition", "z", "y", "x"), batch=(2, 3))
    recon.write(parts, tmp_path / "b.h5")
    assert recon.read(tmp_path / "b.h5").batch == (2, 3)


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


# Bad input.


def test_other_hdf5_files_are_told(tmp_path):
    write_synthetic(tmp_path / "fastmri.h5")
    with pytest.raises(FileFormatError, match=r"not an ISMRMRD file.* needs the reader 'fastmri'"):
        ISMRMRDReader().read(tmp_path / "fastmri.h5")
    write(tmp_path / "mrd.h5")
    with pytest.raises(FileFormatError, match=r"not a fastMRI file.*ISMRMRD"):
        recon.build("reader", "fastmri").read(tmp_path / "mrd.h5")
    assert not ISMRMRDReader().accepts(tmp_path / "fastmri.h5")
    assert recon.read(tmp_path / "fastmri.h5").operator_config["use"] == "fourier"


def no_header(path):
    write_readouts(path, None, slice_scan())


def zero_readouts(path):
    write_readouts(path, header_xml(point_encoding(MATRIX, FOV), {}, coils=2), slice_scan().take(np.zeros(12, bool)))


def noise_alone(path):
    write(path, noise())


def wrong_rank(path):
    write(path)
    with h5py.File(path, "r+") as file:
        data = file["dataset/data"][:]
        del file["dataset/data"]
        file["dataset"].create_dataset("data", data=data.reshape(3, 4))


def short_readout(path):
    readouts = slice_scan()
    readouts.head["number_of_samples"][3] = 20
    write(path, readouts)


def absurd_matrix(path):
    write(path, encoding=point_encoding((60000, 60000, 1), FOV))


def impossible_matrix(path):
    text = header_xml(point_encoding(MATRIX, FOV), {}, coils=2).replace("<y>12</y>", "<y>9999999</y>")
    write_readouts(path, text, slice_scan())


def mixed_channels(path):
    write(path, joined(slice_scan(lines=range(6)), slice_scan(lines=range(6, 12), coils=3)))


def wide_readouts(path):
    write(path, point_readouts(POINT, matrix=(40, 12, 1), fov=FOV))


def entities(path):
    write_readouts(path, '<!DOCTYPE x [<!ENTITY a "b">]><ismrmrdHeader/>', slice_scan())


def no_matrix(path):
    write_readouts(
        path, '<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding/></ismrmrdHeader>', slice_scan()
    )


def no_xml(path):
    write_readouts(path, "plain text", slice_scan())


def no_trajectory(path):
    write(path, encoding=point_encoding(MATRIX, FOV, trajectory="spiral"))


def external_link(path):
    write(path.with_name("other.h5"))
    with h5py.File(path, "w") as file:
        file["dataset"] = h5py.ExternalLink(str(path.with_name("other.h5")), "dataset")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_header, "has no header"),
        (zero_readouts, "holds no readouts"),
        (noise_alone, "none of 1 readouts is of an image"),
        (wrong_rank, "is not a list of readouts"),
        (short_readout, "readout 3 holds 32 samples, its header says 2 channels of 20"),
        (absurd_matrix, "declares k-space of .* damaged or hostile"),
        (impossible_matrix, "states a matrix of"),
        (mixed_channels, r"\[2, 3\] channels; one number is needed"),
        (wide_readouts, "readouts of 40 samples .* do not fit the 16 columns"),
        (entities, "XML entities"),
        (no_matrix, "no encoded matrix"),
        (no_xml, "not XML"),
        (no_trajectory, "a spiral scan whose readouts hold no trajectory"),
        (external_link, "not an ISMRMRD file"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path, spoil, message):
    path = tmp_path / "a.h5"
    spoil(path)
    with pytest.raises(FileFormatError, match=message) as caught:
        ISMRMRDReader().read(path)
    assert "\n" not in str(caught.value)
    assert Path(path).name in str(caught.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated_files(tmp_path, share):
    path = write(tmp_path / "a.h5")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FileFormatError, match="not a readable HDF5 file") as caught:
        ISMRMRDReader().read(path)
    assert "\n" not in str(caught.value)


def test_what_the_writer_refuses(tmp_path):
    data = torch.zeros(1, 2, 4, 6, dtype=torch.complex64)
    cases = {
        "not an image": recon.io.Image(data=torch.zeros(4, 6)),
        "operator 'fourier'": recon.io.Measurement(data=data, operator_config={"use": "nufft", "size": [4, 6]}),
        "changes along the last axis": recon.io.Measurement(
            data=data, operator_config={"use": "fourier", "mask": torch.arange(6) % 2 == 0}
        ),
        "mask is a rule": recon.io.Measurement(
            data=data, operator_config={"use": "fourier", "mask": {"kind": "random"}}
        ),
    }
    for message, item in cases.items():
        with pytest.raises(UsageError, match=message):
            recon.write(item, tmp_path / "a.mrd")
    assert list(tmp_path.iterdir()) == []
