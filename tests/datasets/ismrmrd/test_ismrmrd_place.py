"""Where the image of a scan lies in the patient, also in other files; real data."""

import h5py
import nibabel as nib
import numpy as np
import pytest
import torch

import recon
from recon.io.raw.readouts import Readouts
from recon.kspace import ifft_centred, root_sum_of_squares
from recon_datasets.ismrmrd import ISMRMRDReader
from recon_datasets.ismrmrd.synthetic import axial, point_encoding, point_readouts

from .scans import FOV, MATRIX, joined, magnitude, slice_scan, write

REAL = "mri_kspace/nhlbi_ismrmrd_R3/meas_MID00349_FID09273_SNR_R3.h5"


def test_zero_directions_are_no_place(tmp_path):
    readouts = slice_scan()
    for name in ("read_dir", "phase_dir", "slice_dir"):
        readouts.head[name] = 0
    m = recon.read(write(tmp_path / "a.h5", readouts))
    assert m.affine is None
    assert m.voxel_size == pytest.approx((5, 6, 4))
    assert "no directions" in m.notes[0]


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
