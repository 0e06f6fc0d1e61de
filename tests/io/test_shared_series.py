"""Every real series and file beside the checkout: the same at the same places as in another reader, or refused."""

import subprocess

import nibabel as nib
import numpy as np
import pydicom
import pytest

import recon
from recon.errors import CodedFileError

from .same_place import difference, oracle_itk

TRUTHS = "dicom/dicom2nifti_tests"
"""Series of real headers and random pixels with NIfTI files that dicom2nifti's authors checked."""
OF_DICOM2NIFTI = (
    "failing/slicecount/001",  # two slices: too few for dicom2nifti
    "generic/anatomical/001",
    "generic/anatomical/001_implicit",
    "generic/anatomical/002_non_isotropic",
    "generic/compressed/001",
    "generic/compressed_j2k/001",
    "generic/compressed_jpeg/001",
    "generic/compressed_jpegls/001",
    "generic/compressed_rle/001",
    "hitachi/anatomical/001",
    "hitachi/anatomical/001_implicit",
    "philips_enhanced/anatomical/001",
    "siemens/anatomical/001",
    "siemens/anatomical/001_implicit",
)
REFUSED = {
    f"{TRUTHS}/failing/sliceincrement/001": "RECON-DICOM-GAP",
    f"{TRUTHS}/generic/rgb/001": "RECON-DICOM-KIND",
    "dicom/cornerstone_ct_syntaxes": "RECON-DICOM-DUPLICATE",  # one slice, again and again
}
SYNTAXES = "dicom/cornerstone_ct_syntaxes"
LOSSY = {"50", "51", "53", "55", "81", "91"}
"""Ends of the transfer syntaxes of JPEG, JPEG-LS and JPEG 2000 that lose information."""


def single_files(folder):
    itk = pytest.importorskip("SimpleITK")
    paths = sorted(folder.glob("*.dcm"))
    assert paths
    for path in paths:
        yield path, oracle_itk(itk.ReadImage(path))


def test_no_series_is_left_out(shared_data):
    found = {path.parent.relative_to(shared_data).as_posix() for path in (shared_data / "dicom").rglob("*.dcm")}
    assert found == {*(f"{TRUTHS}/{name}" for name in OF_DICOM2NIFTI), *REFUSED, "dicom/datalad_t1_pddl"}


@pytest.mark.parametrize("name", OF_DICOM2NIFTI)
def test_same_as_the_truth_of_dicom2nifti(shared_data, name):
    truth = nib.squeeze_image(nib.load(shared_data / TRUTHS / f"{name}_ground_truth.nii.gz"))
    image = recon.read(shared_data / TRUTHS / name)
    assert difference(image, truth.get_fdata(), truth.affine) <= 1e-5 * np.abs(truth.get_fdata()).max()


@pytest.mark.parametrize(
    "name", ["generic/anatomical/001", "hitachi/anatomical/001", "philips_enhanced/anatomical/001"]
)
def test_same_as_dcm2niix(shared_data, tmp_path, name):
    """Philips by the standard's slope, not by the private one."""
    dcm2niix = pytest.importorskip("dcm2niix")
    command = [dcm2niix.bin, "-p", "n", "-z", "n", "-b", "n", "-o", str(tmp_path), str(shared_data / TRUTHS / name)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = tmp_path.glob("*.nii")
    oracle, image = nib.load(path), recon.read(shared_data / TRUTHS / name)
    assert difference(image, oracle.get_fdata(), oracle.affine) <= 1e-5 * np.abs(oracle.get_fdata()).max()


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(shared_data, name):
    with pytest.raises(CodedFileError) as refusal:
        recon.read(shared_data / name)
    assert refusal.value.code == REFUSED[name]


def test_t1_same_as_simpleitk(shared_data):
    itk = pytest.importorskip("SimpleITK")
    folder = str(shared_data / "dicom" / "datalad_t1_pddl")
    oracle = oracle_itk(itk.ReadImage(itk.ImageSeriesReader.GetGDCMSeriesFileNames(folder)))
    image = recon.read(folder)
    assert image.data.shape == (16, 384, 274)
    assert difference(image, *oracle) == 0


def test_ct_of_many_vendors_same_as_simpleitk(shared_data):
    for path, oracle in single_files(shared_data / "ct_images" / "ct100_dicom"):
        image = recon.read(path)
        assert difference(image, *oracle) <= 1e-7 * float(image.data.abs().max()), path.name


def test_one_ct_in_all_transfer_syntaxes(shared_data):
    plain = recon.read(shared_data / SYNTAXES / "CTImage.dcm")
    lossless = 0
    for path, oracle in single_files(shared_data / SYNTAXES):
        image = recon.read(path)
        syntax = pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
        if syntax.rpartition(".")[2] in LOSSY:
            assert difference(image, *oracle) <= 1, path.name  # decoders round
        else:
            assert difference(image, *oracle) == 0, path.name
            assert image.data.equal(plain.data), path.name
            lossless += 1
    assert lossless >= 9


def test_nifti_same_as_nibabel_and_simpleitk(shared_data):
    itk = pytest.importorskip("SimpleITK")
    paths = sorted(path for path in (shared_data / "nifti").rglob("*.nii*"))
    assert paths
    for path in paths:
        image, oracle = recon.read(path), nib.load(path)
        limit = 1e-6 * np.abs(oracle.get_fdata()).max()
        assert difference(image, oracle.get_fdata(), oracle.affine) <= limit, path.name
        assert difference(image, *oracle_itk(itk.ReadImage(path))) <= limit, path.name


def test_the_oracle_sees_what_is_wrong(shared_data):
    path = shared_data / "nifti" / "torchio_t2" / "t2.nii.gz"
    image, oracle = recon.read(path).crop(z=(0, 4)), nib.load(path)
    values = oracle.get_fdata()[:, :, :4]
    assert difference(image, values, oracle.affine) == 0
    for axis in range(3):
        assert difference(image, np.flip(values, axis), oracle.affine) > 0
        moved = oracle.affine.copy()
        moved[axis, 3] += 0.02
        assert difference(image, values, moved) == np.inf
