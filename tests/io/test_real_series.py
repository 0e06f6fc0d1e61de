"""Real series against independent references: dcm2niix, and the plane that the header of each slice states.

``RECON_TEST_DICOM`` names a folder that holds the repositories dcm_qa_* of neurolabusc on GitHub; a series that is not
there is skipped.
"""

import gzip
import os
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from scipy.ndimage import map_coordinates

import recon
from recon.errors import CodedFileError

dcm2niix = pytest.importorskip("dcm2niix")
FOLDER = os.environ.get("RECON_TEST_DICOM", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER, reason="RECON_TEST_DICOM does not name the folder of the dcm_qa_* repositories"),
]
LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])

# Series, shape of each image in it. A pattern with * names files.
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
    "dcm_qa_fmap/In/Siemens/2_gre_field_magph": [(1, 36, 64, 64)] * 2,
    "dcm_qa_fmap/In/Siemens/3_gre_field_magph": [(1, 36, 64, 64)],
    "dcm_qa_fmap/In/Siemens/4_gre_field_ph": [(1, 36, 64, 64)],
    "dcm_qa_fmap/In/Siemens/5_gre_field_mag": [(1, 36, 64, 64)] * 2,
    "dcm_qa_fmap/In/GE/6_CV_Neuro": [(1, 16, 128, 128)] * 2,
    "dcm_qa_fmap/In/GE/2_3db0maps": [(1, 80, 128, 128)] * 2,
    "dcm_qa_fmap/In/GE/3_3db0maps": [(1, 80, 128, 128)] * 2,
    "dcm_qa_fmap/In/Philips/fmap": [(1, 32, 64, 64)] * 2,
    "dcm_qa_nih/In/20180918GE/mr_0004": [(10, 15, 64, 64)],
    "dcm_qa_nih/In/20180918GE/mr_0005": [(10, 15, 64, 64)],
    "dcm_qa_nih/In/20180918Si/mr_0003": [(2, 5, 72, 72)],
    "dcm_qa_nih/In/20180918Si/mr_0005": [(2, 5, 72, 72)],
    "dcm_qa_philips/In/Vanderbilt_2018/601_WIP_dti_ax": [(17, 40, 80, 80)],
    "dcm_qa_philips/In/Magdeburg_2014/fmri": [(3, 9, 64, 64)],
    "dcm_qa_toshiba/In/Galan/8006_DTI_AX_30d": [(13, 40, 64, 64)],
    "dcm_qa_sag/In/6_DWI_SagAP": [(21, 48, 82, 82)],
    "dcm_qa_mosaic/In/ep2d_Asc_2": [(6, 36, 64, 64)],
    "dcm_qa_mosaic/In/cmrr_Asc_HF_7": [(6, 40, 64, 64)],
    "dcm_qa_decubitus/In/HFS/4_ep2d_diff_mddw_20_p2": [(13, 25, 128, 128)],
    "dcm_qa_sag/In/2_fmri_SagAP": [(6, 36, 64, 64)],
    "dcm_qa_sag/In/4_DWI_SagAPmosaic": [(21, 48, 82, 82)],
    "dcm_qa/In/Orientation/sag/sagdesc36": [(2, 36, 64, 64)],
    "dcm_qa_enh/In/Siemens/XA10": [(4, 6, 64, 64)],
    "dcm_qa_sag/In/XA30/classic/5001_Product_EPI_Sag_Ascending": [(1, 63, 86, 86)],
    "dcm_qa_sag/In/XA30/enhanced/5_Product_EPI_Sag_Ascending": [(5, 63, 86, 86)],
    "dcm_qa_sag/In/XA30/enhanced/6_Product_EPI_Sag_Interleaved": [(5, 63, 86, 86)],
    "dcm_qa_philips_enh/In/enh/2001_WIP_fcMRI_Field_Mapping_*": [(1, 53, 80, 80)] * 4,
    "dcm_qa_philips_enh/In/enh/1903_WIP_SOURCE_*": [(6, 40, 96, 96)],
    "dcm_qa_philips_enh/In/cl/**/2001_*": [(1, 53, 80, 80)] * 4,
    "dcm_qa_philips_enh/In/cl/**/1903_*": [(6, 40, 96, 96)],
    "dcm_qa_philips_enh/In/cl/**/2201_*": [(17, 82, 128, 128)],
}
# Quantity and unit of the images, where the header tells more than dcm2niix's values do.
FIELD_MAPS = ["GE/6_CV_Neuro", "GE/2_3db0maps", "GE/3_3db0maps", "Philips/fmap"]
DIFFUSION = [
    "dcm_qa_philips/In/Vanderbilt_2018/601_WIP_dti_ax",
    "dcm_qa_toshiba/In/Galan/8006_DTI_AX_30d",
    "dcm_qa_decubitus/In/HFS/4_ep2d_diff_mddw_20_p2",
    "dcm_qa_sag/In/4_DWI_SagAPmosaic",
    "dcm_qa_sag/In/6_DWI_SagAP",
    "dcm_qa_philips_enh/In/cl/**/2201_*",
    "dcm_qa_philips_enh/In/cl/**/2301_*",
]
STEPS = {
    "dcm_qa_sag/In/2_fmri_SagAP": 3.2,
    "dcm_qa_sag/In/4_DWI_SagAPmosaic": 4.414,
    "dcm_qa_mosaic/In/ep2d_Asc_2": 3.2,
    "dcm_qa_philips/In/Magdeburg_2014/fmri": 2.0,
    "dcm_qa_nih/In/20180918Si/mr_0003": 2.435,
    "dcm_qa_nih/In/20180918GE/mr_0004": 5.0,
}
NO_CLOCK = ["dcm_qa_nih/In/20180918GE/mr_0004"]
TILTED = {"dcm_qa_ct/In/Philips/S21610/S2010": -18.5, "dcm_qa_ct/In/Philips/S21610/S3010": 16.5}
UNEVEN = "dcm_qa_ct/In/GE"


def series(name, tmp_path):
    """The folder of a series; files that a pattern names are unpacked into one of their own."""
    if "*" not in name:
        folder = Path(FOLDER, name)
        if not folder.is_dir():
            pytest.skip(f"{name} is not in RECON_TEST_DICOM")
        return folder
    files = list(Path(FOLDER).glob(name))
    if not files:
        pytest.skip(f"{name} is not in RECON_TEST_DICOM")
    folder = tmp_path / "dicom"
    folder.mkdir()
    for file in files:
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        (folder / file.name.removesuffix(".gz")).write_bytes(data)
    return folder


def converted(path, tmp_path):
    """The NIfTI images that dcm2niix makes, by name."""
    folder = tmp_path / "nifti"
    folder.mkdir()
    # Philips MR by the standard's slope, not by the private one.
    options = ["-p", "n"] if any(word in str(path).lower() for word in ("philips", str(tmp_path).lower())) else []
    command = [dcm2niix.bin, "-z", "n", "-b", "n", *options, "-f", "image", "-o", str(folder), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return {name.name: nib.load(name) for name in sorted(folder.glob("*.nii"))}


def volumes(images):
    """(affine, values (x, y, z)) of each volume."""
    found = []
    for image in images.values():
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
    path = series(name, tmp_path)
    oracle = volumes(converted(path, tmp_path))
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


@pytest.mark.parametrize("name", FIELD_MAPS)
def test_field_maps_are_in_hertz(tmp_path, name):
    path = series(f"dcm_qa_fmap/In/{name}", tmp_path)
    with pytest.raises(CodedFileError, match="RECON-DICOM-MIXED"):
        recon.read(path)
    images = [recon.read(path, reader={"use": "dicom_series", "stack": number}) for number in (1, 2)]
    assert [(image.quantity, image.unit) for image in images] == [("magnitude", "arbitrary"), ("field", "Hz")]
    oracle = converted(path, tmp_path)
    (theirs,) = (image for name, image in oracle.items() if "fieldmaphz" in name)
    for image, equal in zip(images, (False, True), strict=True):
        off = difference(image.data.numpy(), image.affine, np.asarray(theirs.dataobj, dtype=np.float32), theirs.affine)
        assert (off <= 1e-2) == equal


def test_series_of_one_identifier_are_told_apart_by_number(tmp_path):
    path = series("dcm_qa_12bit/In", tmp_path)
    oracle = volumes(converted(path, tmp_path))
    with pytest.raises(CodedFileError, match="RECON-DICOM-AMBIGUOUS"):
        recon.read(path)
    for number in (1, 2, 3):
        image = recon.read(path, reader={"use": "dicom_series", "series": number})
        assert image.shape == (35, 64, 64)
        assert min(difference(image.data.numpy(), image.affine, *reversed(other)) for other in oracle) == 0


@pytest.mark.parametrize("name", DIFFUSION)
def test_diffusion_weighting(tmp_path, name):
    path = series(name, tmp_path)
    image = recon.read(path)
    oracle = next(iter(converted_with_gradients(path, tmp_path)))
    b_values, vectors, affine = oracle
    count = len(b_values)  # dcm2niix sets an average over directions aside
    ours = np.array(image.metadata["b_values_s_mm2"])
    assert len(ours) == image.shape[0]
    assert np.abs(ours[:count] - b_values).max() < 0.5
    gradients = np.array([image.metadata[f"gradient_{axis}"] for axis in "xyz"])
    # FSL's vectors are along the axes of the image, the first of which is mirrored where the grid is not.
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.linalg.det(axes) > 0:
        vectors = vectors * [[-1], [1], [1]]
    world = axes @ vectors
    weighted = b_values > 0
    assert weighted.sum() >= 5
    signs = np.sign((world * gradients[:, :count]).sum(axis=0))  # a gradient and its opposite weight alike
    assert np.abs(world - signs * gradients[:, :count])[:, weighted].max() < 1e-4
    assert not gradients[:, ours == 0].any()


def in_patient(affine, vectors):
    """FSL's vectors in RAS+: they are along the axes of the image, the first of which is mirrored where it is not."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return axes @ (vectors * [[-1 if np.linalg.det(axes) > 0 else 1], [1], [1]])


@pytest.mark.parametrize("name", DIFFUSION)
def test_tables_beside_nifti(tmp_path, name):
    """dcm2niix writes the rows of images in reverse, so tables are compared through both affines."""
    path = series(name, tmp_path)
    image = recon.read(path)
    b_values, vectors, affine = next(iter(converted_with_gradients(path, tmp_path)))
    recon.write(image, tmp_path / "ours.nii.gz")
    count, weighted = len(b_values), b_values > 0
    assert np.abs(np.loadtxt(tmp_path / "ours.bval")[:count] - b_values).max() < 0.5
    written = nib.load(tmp_path / "ours.nii.gz").affine
    ours = in_patient(written, np.loadtxt(tmp_path / "ours.bvec"))[:, :count]
    theirs = in_patient(affine, vectors)
    theirs = theirs * np.sign((ours * theirs).sum(axis=0))  # a gradient and its opposite weight alike
    assert np.abs(ours - theirs)[:, weighted].max() < 1e-4
    again = recon.read(tmp_path / "ours.nii.gz")
    for key in ("b_values_s_mm2", "gradient_x", "gradient_y", "gradient_z"):
        assert np.abs(np.subtract(again.metadata[key], image.metadata[key])).max() < 1e-6


@pytest.mark.parametrize(("name", "step"), STEPS.items())
def test_step_in_time(tmp_path, name, step):
    """dcm2niix writes the repetition time; ours is the mean of the clock, and none where the files have no clock."""
    path = series(name, tmp_path)
    recon.write(recon.read(path), tmp_path / "ours.nii.gz")
    ours = float(nib.load(tmp_path / "ours.nii.gz").header["pixdim"][4])
    (theirs,) = {round(float(image.header["pixdim"][4]), 3) for image in converted(path, tmp_path).values()}
    assert theirs == pytest.approx(step, abs=1e-3)
    assert ours == pytest.approx(theirs, abs=2.5e-3) or (name in NO_CLOCK and ours == 0)


def converted_with_gradients(path, tmp_path):
    """(b-values, vectors (3, volume), affine) of dcm2niix."""
    images = converted(path, tmp_path)
    for name, image in images.items():
        table = tmp_path / "nifti" / name.replace(".nii", ".bval")
        if table.exists():
            yield np.loadtxt(table), np.loadtxt(table.with_suffix(".bvec")), image.affine


def planes(path):
    """(position in LPS by (column, row), values) of each slice, from its own header."""
    found = []
    for file in sorted(path.iterdir()):
        if not pydicom.misc.is_dicom(file):
            continue
        dataset = pydicom.dcmread(file)
        if "ImagePositionPatient" not in dataset:
            continue
        origin = np.array(dataset.ImagePositionPatient, float)
        row, column = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
        down, right = map(float, dataset.PixelSpacing)
        values = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        corners = [origin + right * c * row + down * r * column for c in (0, values.shape[1] - 1) for r in (0, 511)]
        found.append((np.array(corners), values.astype(np.float32)))
    return found


def corners(image, k):
    """Places of the four corner voxels of a slice, in LPS."""
    _, rows, columns = image.shape
    index = np.array([[c, r, k, 1] for c in (0, columns - 1) for r in (0, rows - 1)])
    return (image.affine @ index.T).T[:, :3] * LPS_TO_RAS


@pytest.mark.parametrize("name", TILTED)
def test_tilted_gantry(tmp_path, name):
    path = series(name, tmp_path)
    image = recon.read(path)
    assert (image.quantity, image.unit) == ("attenuation", "HU")
    assert any("gantry tilt" in note for note in image.notes)
    truth = planes(path)
    assert len(truth) == len(image.data)
    seen = set()
    for places, values in truth:
        off = [np.abs(corners(image, k) - places).max() for k in range(len(image.data))]
        k = int(np.argmin(off))
        assert off[k] < 0.01
        assert np.array_equal(image.data[k].numpy(), values)
        seen.add(k)
    assert len(seen) == len(truth)
    # dcm2niix shifts the slices onto a right-angled grid and rounds to whole HU. Where the tilt is positive, its header
    # (v1.0.20260724) puts the volume 80 mm too low and less than a pixel aside, so there only its pixels judge: slice k
    # against slice k, shifts counted from the last one.
    (theirs,) = (other for name, other in converted(path, tmp_path).items() if "_Tilt" in name)
    to_ours = np.linalg.inv(image.affine) @ theirs.affine
    if TILTED[name] > 0:
        assert to_ours[2, 3] < -30
        to_ours[2, 3] = 0
        shift = to_ours[1, 2] * (len(truth) - 1)
        to_ours[1, 3] -= shift - np.floor(shift)
    assert sampled_difference(image, theirs, to_ours).max() < 0.6
    untilted = recon.read(path, reader={"use": "dicom_series", "untilt": True})
    assert np.abs(untilted.affine[:3, :2].T @ untilted.affine[:3, 2]).max() < 1e-3
    if TILTED[name] < 0:  # there, both have the same grid; at both edges of a slice, one row mixes with nothing
        assert (sampled_difference(untilted, theirs) > 0.6).mean() <= 2 / untilted.shape[1]


def sampled_difference(image, other, to_ours=None):
    """Differences at the places of another grid's voxels, every seventh one, by interpolation in the image's own."""
    values = np.asarray(other.dataobj, dtype=np.float32)
    index = np.indices(values.shape).reshape(3, -1)[:, ::7]
    to_ours = np.linalg.inv(image.affine) @ other.affine if to_ours is None else to_ours
    place = to_ours[:3, :3] @ index + to_ours[:3, 3:]
    near = np.abs(place - np.rint(place)) < 1e-3
    place[near] = np.rint(place[near])  # float32 headers do not place slices exactly
    last = np.array(image.shape[::-1])[:, None] - 1
    inside = ((place >= 0) & (place <= last)).all(axis=0)
    assert inside.mean() > 0.5
    ours = map_coordinates(image.data.numpy(), place[::-1][:, inside], order=1)
    return np.abs(ours - values[tuple(index[:, inside])])


def test_tilted_gantry_and_uneven_slices(tmp_path):
    path = series(UNEVEN, tmp_path)
    with pytest.raises(CodedFileError, match=r"RECON-DICOM-MIXED.*14 x CT.*14 x CT"):
        recon.read(path)
    truth = sorted(planes(path), key=lambda plane: plane[0][0, 2])
    heights = np.array([places[0, 2] for places, _ in truth])
    assert np.ptp(np.diff(heights)) > 6
    # Each half is even, and exact.
    for stack, half in ((1, truth[14:]), (2, truth[:14])):
        image = recon.read(path, reader={"use": "dicom_series", "stack": stack})
        for k, (places, values) in enumerate(half):
            assert np.abs(corners(image, k) - places).max() < 0.01
            assert np.array_equal(image.data[k].numpy(), values)
    # Together they are resampled: on the line through the same pixel of all slices, values are linear between them.
    image = recon.read(path, reader={"use": "dicom_series", "gaps": "resample"})
    assert any("interpolated" in note for note in image.notes)
    exact = 0
    for k, made in enumerate(image.data.numpy()):
        z = corners(image, k)[0, 2]
        i = int(np.clip(np.searchsorted(heights, z + 1e-6) - 1, 0, len(truth) - 2))
        part = (z - heights[i]) / (heights[i + 1] - heights[i])
        places = (1 - part) * truth[i][0] + part * truth[i + 1][0]
        assert np.abs(corners(image, k) - places).max() < 0.01
        nearest = truth[int(np.argmin(np.abs(heights - z)))]
        if np.abs(nearest[0][0, 2] - z) < 0.01:
            assert np.array_equal(made, nearest[1])
            exact += 1
        else:
            between = (1 - part) * truth[i][1] + part * truth[i + 1][1]
            moved = 0.05 / (heights[i + 1] - heights[i]) * np.abs(truth[i + 1][1] - truth[i][1]).max()
            assert np.abs(made - between).max() <= moved
    assert exact >= 14
    (theirs,) = (other for name, other in converted(path, tmp_path).items() if "_Tilt_Eq" in name)
    aligned = sampled_difference(image, theirs).mean()
    for axis in "xyz":  # they interpolate twice, so only a shift can tell
        assert aligned < 0.9 * sampled_difference(shifted(image, axis), theirs).mean()


def shifted(image, axis):
    """The image moved by a voxel along an axis, which dcm2niix's must fit less."""
    index = [slice(None)] * 3
    index["zyx".index(axis)] = slice(1, None)
    cut = image[tuple(index)]
    move = np.eye(4)
    move["xyz".index(axis), 3] = -1
    return recon.io.Image(data=cut.data, affine=cut.affine @ move, dims=cut.dims, unit=cut.unit)


@pytest.mark.parametrize("number", [1901, 1903, 2001])
def test_raw_data_beside_enhanced_images_is_left_out(tmp_path, number):
    path = series(f"dcm_qa_philips_enh/In/enh/{number}_*", tmp_path)
    if len(list(path.iterdir())) < 2:
        pytest.skip("the raw data are not in RECON_TEST_DICOM")
    image = recon.read(path, reader={"use": "dicom_series", "stack": 1} if number == 2001 else None)
    assert "1 objects of the series that are no scans left out" in image.notes
    assert image.provenance.files == 1


def test_older_header_of_siemens_tells_the_same_weighting(tmp_path):
    """Files from before syngo MR B13 have the CSA header alone."""
    path = series("dcm_qa_sag/In/4_DWI_SagAPmosaic", tmp_path)
    folder = tmp_path / "older"
    folder.mkdir()
    for file in path.iterdir():
        dataset = pydicom.dcmread(file)
        for element in list(dataset.group_dataset(0x0019)):
            del dataset[element.tag]
        dataset.save_as(folder / file.name)
    image, older = recon.read(path), recon.read(folder)
    assert np.array_equal(image.data, older.data)
    for name in ("b_values_s_mm2", "gradient_x", "gradient_y", "gradient_z"):
        assert np.allclose(older.metadata[name], image.metadata[name], atol=1e-5)
