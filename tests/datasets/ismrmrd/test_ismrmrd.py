"""ISMRMRD files: the ten traps of the format."""

import os
import stat

import h5py
import numpy as np
import pytest
import torch

import recon
from recon.errors import FileFormatError
from recon.io.mrd_header import header_xml
from recon.io.raw.readouts import HEAD, Readouts
from recon.testing import conformance_tests
from recon_datasets.ismrmrd import ISMRMRDReader, write_readouts
from recon_datasets.ismrmrd.synthetic import point_encoding, point_readouts

from .scans import FOV, MATRIX, POINT, flag, joined, magnitude, noise, peak, slice_scan, write

test_conformance = conformance_tests("ismrmrd")


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
