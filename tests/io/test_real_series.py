"""Real series against dcm2niix: the same values at the same places.

``RECON_TEST_DICOM`` names a folder that holds the repositories dcm_qa_* of neurolabusc on GitHub.
"""

import os
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import recon

dcm2niix = pytest.importorskip("dcm2niix")
FOLDER = os.environ.get("RECON_TEST_DICOM", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER, reason="RECON_TEST_DICOM does not name the folder of the dcm_qa_* repositories"),
]

# Series, shape of each image in it. Tilted ones are not here: there, dcm2niix's plain output is 2 to 7 mm off.
SERIES = {
    "dcm_qa_ct/In/Philips/S21570/S2010": [(1, 28, 512, 512)],
    "dcm_qa_ct/In/Philips/S21570/S2020": [(1, 140, 512, 512)],
    "dcm_qa_decubitus/In/HFS/3_t1_fl2d_sag": [(1, 35, 256, 256)],
    "dcm_qa_decubitus/In/HFP/2_t1_fl2d_sag": [(1, 35, 256, 256)],
    "dcm_qa_decubitus/In/HFDL/2_t1_fl2d_sag": [(1, 35, 256, 256)],
    "dcm_qa_decubitus/In/HFDR/2_t1_fl2d_sag": [(1, 35, 256, 256)],
    "dcm_qa_deident/In": [(1, 196, 256, 256)],
    "dcm_qa_frag/In/5001_anat-T1w_acq-tfl": [(1, 96, 128, 128)],
    "dcm_qa_frag/In/6001_anat-T1w_acq-tfl": [(1, 96, 128, 128)],
    "dcm_qa_fmap/In/Siemens/4_gre_field_ph": [(1, 36, 64, 64)],
    "dcm_qa_fmap/In/Siemens/5_gre_field_mag": [(1, 36, 64, 64)] * 2,
    "dcm_qa_sag/In/XA30/classic/5001_Product_EPI_Sag_Ascending": [(1, 63, 86, 86)],
    "dcm_qa_nih/In/20180918GE/mr_0004": [(10, 15, 64, 64)],
    "dcm_qa_nih/In/20180918GE/mr_0005": [(10, 15, 64, 64)],
    "dcm_qa_philips/In/Vanderbilt_2018/601_WIP_dti_ax": [(17, 40, 80, 80)],
    "dcm_qa_philips/In/Magdeburg_2014/fmri": [(3, 9, 64, 64)],
    "dcm_qa_toshiba/In/Galan/8006_DTI_AX_30d": [(13, 40, 64, 64)],
    "dcm_qa_sag/In/6_DWI_SagAP": [(21, 48, 82, 82)],
    "dcm_qa_mosaic/In/ep2d_Asc_2": [(6, 36, 64, 64)],
    "dcm_qa_mosaic/In/cmrr_Asc_HF_7": [(6, 40, 64, 64)],
    "dcm_qa_decubitus/In/HFS/4_ep2d_diff_mddw_20_p2": [(13, 25, 128, 128)],
    "dcm_qa_sag/In/XA30/enhanced/5_Product_EPI_Sag_Ascending": [(5, 63, 86, 86)],
}


def volumes(path, folder):
    """(affine, values (x, y, z)) of each volume that dcm2niix makes."""
    # Philips MR by the standard's slope, not by the private one.
    options = ["-p", "n"] if "philips" in str(path) else []
    command = [dcm2niix.bin, "-z", "n", "-b", "n", *options, "-o", str(folder), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    found = []
    for name in sorted(folder.glob("*.nii")):
        image = nib.load(name)
        values = np.asarray(image.dataobj, dtype=np.float32)
        values = values.reshape(*values.shape[:3], -1)
        found += [(image.affine, values[..., t]) for t in range(values.shape[3])]
    return found


def difference(values, affine, other, other_affine):
    """Largest difference at equal places; infinite where the grids differ."""
    to_other = np.linalg.inv(other_affine) @ affine
    whole = np.rint(to_other)
    if np.abs(to_other - whole).max(axis=0) @ [*values.shape[::-1], 1] > 0.1 or other.size != values.size:
        return np.inf
    index = np.indices(values.shape)[::-1].reshape(3, -1)
    place = (whole[:3, :3] @ index + whole[:3, 3:]).astype(int)
    if (place < 0).any() or (place.max(axis=1) >= other.shape).any():
        return np.inf
    return float(np.abs(other[tuple(place)] - values.ravel()).max())


@pytest.mark.parametrize("name", SERIES)
def test_same_as_dcm2niix(tmp_path, name):
    path = Path(FOLDER, name)
    oracle = volumes(path, tmp_path)
    shapes = SERIES[name]
    for number, shape in enumerate(shapes, start=1):
        image = recon.read(path, reader={"use": "dicom_series", "stack": number} if len(shapes) > 1 else None)
        values = image.data.numpy().astype(np.float32).reshape(-1, *image.space)
        assert values.shape == shape
        first = 0  # in time, volumes come in dcm2niix's order
        for t, volume in enumerate(values):
            limit = 1e-5 * max(1.0, float(np.abs(volume).max()))
            rest = range(first, len(oracle))
            equal = (i for i in rest if difference(volume, image.affine, *reversed(oracle[i])) <= limit)
            hit = next(equal, None)
            assert hit is not None, f"volume {t} is in none of dcm2niix's, or in another order"
            first = hit + 1
