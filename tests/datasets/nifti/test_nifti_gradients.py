"""Diffusion weighting and time in NIfTI: FSL's tables and pixdim[4], by closed forms that are not the code's."""

import os

import nibabel as nib
import numpy as np
import pytest
import torch

import recon
from recon import Image
from recon.cli import main
from recon.errors import UsageError
from recon_datasets.dicom_series import write_slices

RANDOM = np.random.default_rng(0)
NAMES = ("gradient_x", "gradient_y", "gradient_z")
B_VALUES = (0.0, 1000.0, 1000.0, 0.0, 2500.5, 700.0)


def rotation():
    turn = np.linalg.qr(RANDOM.normal(size=(3, 3)))[0]
    return turn * np.sign(np.linalg.det(turn))


ROTATIONS = {"upright": np.eye(3), "axial of DICOM": np.diag([-1.0, -1.0, 1.0]), "oblique": rotation()}


def affine_of(axes, sizes=(1.5, 2.0, 3.0)):
    affine = np.eye(4)
    affine[:3, :3] = axes * sizes
    affine[:3, 3] = 3, -5, 7
    return affine


def weighted(affine, b_values=B_VALUES, dims=("t", "z", "y", "x"), shape=(2, 3, 4), **facts):
    """An image with random directions, and these, (3, volume)."""
    vectors = RANDOM.normal(size=(3, len(b_values)))
    vectors *= (np.array(b_values) > 0) / np.linalg.norm(vectors, axis=0)
    table = dict(zip(NAMES, map(tuple, vectors.tolist()), strict=True))
    data = torch.zeros((len(b_values), *shape)) if "t" in dims else torch.zeros(shape)
    return Image(data=data, affine=affine, dims=dims, metadata={"b_values_s_mm2": b_values} | table | facts), vectors


def tables(path):
    return [np.loadtxt(path.with_name(path.name.split(".")[0] + ending), ndmin=2) for ending in (".bval", ".bvec")]


def directions(image):
    return np.array([image.metadata[name] for name in NAMES])


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("axes", ROTATIONS.values(), ids=list(ROTATIONS))
@pytest.mark.parametrize("name", ["dwi.nii", "dwi.nii.gz", "a.b.nii.gz"])
def test_tables_are_fsls_and_come_back(tmp_path, axes, mirrored, name):
    axes = axes @ np.diag([1, -1, 1]) if mirrored else axes
    image, vectors = weighted(affine_of(axes))
    recon.write(image, tmp_path / name)
    stem = name.removesuffix(".gz").removesuffix(".nii")
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{stem}.bval", f"{stem}.bvec"}
    assert [len(line.split()) for line in (tmp_path / f"{stem}.bvec").read_text().splitlines()] == [6] * 3
    values, ours = np.loadtxt(tmp_path / f"{stem}.bval"), np.loadtxt(tmp_path / f"{stem}.bvec")
    assert values.tolist() == list(B_VALUES)
    # A step of one unit along the gradient, in voxels, times their size: what FSL calls x runs to the left.
    steps = np.linalg.solve(nib.load(tmp_path / name).affine[:3, :3], vectors) * [[1.5], [2.0], [3.0]]
    steps[0] *= 1 if mirrored else -1
    assert np.abs(ours - steps).max() < 1e-6
    assert not ours[:, values == 0].any()
    again = recon.read(tmp_path / name)
    assert again.metadata["b_values_s_mm2"] == B_VALUES
    assert np.abs(directions(again) - vectors).max() < 1e-6
    assert again.notes == ()


def test_upright_grid_in_numbers(tmp_path):
    """FSL: a gradient towards the patient's right, in a grid whose x grows to the right, is (-1, 0, 0)."""
    facts = {"b_values_s_mm2": (0, 1000), "gradient_x": (0.0, 1.0), "gradient_y": (0.0, 0.0), "gradient_z": (0.0, 0.0)}
    image = Image(data=torch.zeros(2, 2, 2, 2), affine=np.eye(4), dims=("t", "z", "y", "x"), metadata=facts)
    recon.write(image, tmp_path / "right.nii")
    assert (tmp_path / "right.bvec").read_text() == "0 -1\n0 0\n0 0\n"
    assert (tmp_path / "right.bval").read_text() == "0 1000\n"
    recon.write(image.flip("x"), tmp_path / "left.nii")
    assert (tmp_path / "left.bvec").read_text() == "0 -1\n0 0\n0 0\n"  # the patient's right, and mirrored
    recon.write(image.permute("x", "y", "z"), tmp_path / "turned.nii")
    assert tables(tmp_path / "turned.nii")[1].tolist() == [[0, 0], [0, 0], [0, 1]]


@pytest.mark.parametrize("change", ["crop", "flip", "oriented", "pick", "pick one"])
def test_tables_follow_the_image(tmp_path, change):
    """The directions are the patient's, whatever becomes of the grid."""
    image, vectors = weighted(affine_of(ROTATIONS["oblique"]))
    changed = {
        "crop": lambda: image.crop(x=(1, 3)),
        "flip": lambda: image.flip("z", "x"),
        "oriented": lambda: image.oriented("LPI"),
        "pick": lambda: image[::-2],
        "pick one": lambda: image[4],
    }[change]()
    expected = {"pick": vectors[:, ::-2], "pick one": vectors[:, 4:5]}.get(change, vectors)
    recon.write(changed, tmp_path / "x.nii.gz")
    assert np.abs(directions(recon.read(tmp_path / "x.nii.gz")) - expected).max() < 1e-6


def test_sheared_grids_have_the_closest_rotation(tmp_path):
    affine = affine_of(ROTATIONS["oblique"])
    affine[:3, 2] += 0.3 * affine[:3, 1]
    image, vectors = weighted(affine)
    recon.write(image, tmp_path / "x.nii")
    values, ours = tables(tmp_path / "x.nii")
    assert np.allclose(np.linalg.norm(ours[:, values[0] > 0], axis=0), 1, atol=1e-8)
    assert np.abs(directions(recon.read(tmp_path / "x.nii")) - vectors).max() < 1e-6


def test_what_has_no_direction(tmp_path):
    facts = {"b_values_s_mm2": (0, 500, 1000)}
    image = Image(data=torch.zeros(3, 2, 2, 2), affine=np.eye(4), dims=("t", "z", "y", "x"), metadata=facts)
    recon.write(image, tmp_path / "trace.nii.gz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trace.bval", "trace.nii.gz"]
    assert recon.read(tmp_path / "trace.nii.gz").metadata == {"coordinate_space": "scanner"} | {
        "b_values_s_mm2": (0.0, 500.0, 1000.0)
    }
    nowhere, _ = weighted(None)  # along which axes, nobody knows
    recon.write(nowhere, tmp_path / "nowhere.nii")
    assert not (tmp_path / "nowhere.bvec").exists()
    mean = image.with_data(image.data[:1])  # the values are those of volumes that are gone
    recon.write(mean, tmp_path / "mean.nii")
    echoes = Image(data=image.data, affine=np.eye(4), dims=("echo", "z", "y", "x"), metadata=facts)
    recon.write(echoes, tmp_path / "echoes.nii")
    assert not list(tmp_path.glob("mean.b*")) + list(tmp_path.glob("echoes.b*"))


@pytest.mark.parametrize(
    ("bval", "bvec", "kept", "note"),
    [
        ("0 1000 1000 500", None, True, None),  # b-values alone
        ("0\n1000\n1000\n500\n", "0 0 0\n1 0 0\n0 1 0\n0 0 1\n", True, None),  # a volume a line
        ("0,1000,1000,500", "0 1 0 0\n\n0 0 1 0\n0 0 0 1", True, None),
        ("0 1000 1000 500", "5 1.004 0 0\n0 0 1 0\n0 0 0 1", True, None),  # rounded; b = 0 has no direction
        ("0 1000 1000", "0 1 0\n0 0 1\n0 0 0", False, "it has 3 values for 4 volumes"),
        ("0 1000\n1000 500", None, False, "it has 4 values for 4 volumes"),
        ("0 1000 1000 -5", None, False, "negative"),
        ("0 1000 1000 nan", None, False, "not finite"),
        ("0 1000 1000 Secret", None, False, "no table of numbers"),
        ("\xff\xfe", None, False, "no table of numbers"),
        ("", None, False, "has no numbers"),
        ("0 1000 1000 500", "0 1 0\n0 0 1\n0 0 0", True, r"\.bvec.*3 lines of 3 values for 4 volumes"),
        ("0 1000 1000 500", "0 1 0 0\n0 0 1 0\n0 0 0", True, r"\.bvec.*lines of different lengths"),
        ("0 1000 1000 500", "0 1 0 0\n0 0 1 0\n0 0 0 2", True, r"\.bvec.*neither 0 nor 1"),
    ],
)
def test_tables_that_do_not_fit_are_told(tmp_path, bval, bvec, kept, note):
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 2, 4), np.float32), np.eye(4)), tmp_path / "x.nii")
    (tmp_path / "x.bval").write_text(bval, encoding="latin-1")
    if bvec is not None:
        (tmp_path / "x.bvec").write_text(bvec)
    image = recon.read(tmp_path / "x.nii")
    assert ("b_values_s_mm2" in image.metadata) == kept
    assert ("gradient_x" in image.metadata) == (note is None and bvec is not None)
    if note is None:
        assert image.notes == ()
        assert image.metadata["b_values_s_mm2"] == (0, 1000, 1000, 500)
        assert bvec is None or np.array_equal(directions(image), [[0, -1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    else:
        (text,) = image.notes
        assert text.startswith("RECON-NIFTI-GRADIENTS: ")
        assert "Secret" not in text
        with pytest.raises(AssertionError, match=note):
            raise AssertionError(text)


def test_tables_of_other_names_are_not_taken(tmp_path):
    image, _ = weighted(np.eye(4))
    recon.write(image, tmp_path / "other.nii.gz")
    plain = Image(data=image.data, dims=image.dims, affine=image.affine)
    for name in ("dwi.nii.gz", "other.brain.nii.gz", "othe.nii"):
        recon.write(plain, tmp_path / name)
        assert "b_values_s_mm2" not in recon.read(tmp_path / name).metadata
    # A huge or odd "table" is not read into memory.
    with (tmp_path / "dwi.bval").open("wb") as file:
        file.truncate(2**33)
    assert "too large" in recon.read(tmp_path / "dwi.nii.gz").notes[0]
    (tmp_path / "othe.bval").mkdir()
    assert recon.read(tmp_path / "othe.nii").notes == ()


def test_image_and_tables_appear_together_or_not_at_all(tmp_path, monkeypatch):
    image, _ = weighted(np.eye(4))
    other, _ = weighted(np.eye(4))
    recon.write(image, tmp_path / "x.nii.gz")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    rename = os.rename if os.name == "nt" else os.replace

    for turn in range(3):
        left = [turn]

        def failing(source, target, left=left):
            left[0] -= 1
            if left[0] == -1:
                raise PermissionError(13, "Permission denied", str(source))
            return rename(source, target)

        with monkeypatch.context() as patch:
            patch.setattr("pathlib.os.replace", failing)
            with pytest.raises(recon.errors.FileFormatError, match="cannot be written: Permission denied"):
                recon.write(other, tmp_path / "x.nii.gz")
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        with monkeypatch.context() as patch:
            left[0] = turn
            patch.setattr("pathlib.os.replace", failing)
            with pytest.raises(recon.errors.FileFormatError):
                recon.write(other, tmp_path / "new.nii.gz")
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    recon.write(other, tmp_path / "x.nii.gz")
    assert np.abs(directions(recon.read(tmp_path / "x.nii.gz")) - directions(other)).max() < 1e-6


def test_no_image_beside_the_tables_of_another(tmp_path):
    """An image without weighting would seem to have that of the file it replaces."""
    image, _ = weighted(np.eye(4))
    recon.write(image, tmp_path / "x.nii.gz")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    plain = Image(data=image.data, dims=image.dims, affine=image.affine)
    for name in ("x.nii.gz", "x.nii"):
        for refusing in (recon.write, lambda item, path: recon.io.check_output(path, item)):
            with pytest.raises(UsageError, match=r"x\.bval belongs to another image"):
                refusing(plain, tmp_path / name)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    recon.io.check_output(tmp_path / "x.nii.gz", image)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


STEADY = tuple(0.72 * number for number in range(5))


@pytest.mark.parametrize(
    ("times", "step"),
    [
        (STEADY, 0.72),
        (tuple(time + 3 for time in STEADY), 0.72),
        ((0, 2.0025, 3.9975, 6.0, 8.0), 2.0),  # a clock that is rounded to 2.5 ms
        ((0, 10, 20, 50, 80), 0),
        (STEADY[::-1], 0),
        (STEADY[:3], 0),  # of other volumes
        ((0.0,) * 5, 0),
        (None, 0),
    ],
)
def test_step_in_time(tmp_path, times, step):
    image = Image(data=torch.zeros(5, 2, 2, 2), affine=np.eye(4), dims=("t", "z", "y", "x"))
    image = Image(data=image.data, affine=np.eye(4), dims=image.dims, metadata={"times_s": times} if times else {})
    recon.write(image, tmp_path / "x.nii")
    header = nib.load(tmp_path / "x.nii").header
    assert header.get_xyzt_units() == ("mm", "sec")
    assert header["pixdim"][4] == np.float32(step)
    assert recon.read(tmp_path / "x.nii").metadata.get("times_s") == (
        tuple(round(step * number, 9) for number in range(5)) if step else None
    )
    recon.write(image, tmp_path / "x.hdf5")
    assert main(["convert", str(tmp_path / "x.hdf5"), str(tmp_path / "y.nii")]) == 0


@pytest.mark.parametrize(
    ("unit", "step", "times"),
    [
        ("sec", 0.1, (0, 0.1, 0.2)),
        ("msec", 720, (0, 0.72, 1.44)),
        ("usec", 1500, (0, 0.0015, 0.003)),
        ("unknown", 1, None),
        ("hz", 2, None),
        ("sec", 0, None),
        ("sec", np.nan, None),
        ("sec", -1, None),
    ],
)
def test_times_of_other_units(tmp_path, unit, step, times):
    file = nib.Nifti1Image(np.zeros((2, 2, 2, 3), np.float32), np.eye(4))
    file.header.set_xyzt_units("mm", unit)
    file.header["pixdim"][4] = step
    nib.save(file, tmp_path / "x.nii")
    assert recon.read(tmp_path / "x.nii").metadata.get("times_s") == times


def test_billions_of_volumes_have_no_list_of_times(tmp_path):
    file = nib.Nifti2Image(np.zeros((1, 1, 1, 2**18), np.uint8), np.eye(4))
    file.header.set_xyzt_units("mm", "sec")
    nib.save(file, tmp_path / "x.nii.gz")
    assert "times_s" not in recon.read(tmp_path / "x.nii.gz").metadata


def test_axes_that_are_no_time_have_no_step(tmp_path):
    image = Image(data=torch.zeros(3, 2, 2, 2), affine=np.eye(4), dims=("echo", "z", "y", "x"))
    recon.write(image, tmp_path / "x.nii")
    assert nib.load(tmp_path / "x.nii").header["pixdim"][4] == 0


def test_convert_says_what_it_wrote_and_what_it_could_not(tmp_path, capsys):
    image, vectors = weighted(affine_of(ROTATIONS["oblique"]), times_s=(0, 1, 2, 10, 11, 12))
    recon.write(image, tmp_path / "x.hdf5")
    target = tmp_path / "x.nii.gz"
    assert main(["convert", str(tmp_path / "x.hdf5"), str(target)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [str(target), str(tmp_path / "x.bval"), str(tmp_path / "x.bvec")]
    assert sum("NIfTI has even steps in time alone" in line for line in lines) == 1
    assert main(["convert", str(target), str(tmp_path / "y.nii")]) == 0
    assert "even steps" not in capsys.readouterr().out
    assert np.abs(directions(recon.read(tmp_path / "y.nii")) - vectors).max() < 1e-6


def test_batch_writes_tables(tmp_path):
    """From the headers of DICOM, with the standard's directions in LPS."""
    gradients = [(0, None), (1000, [1.0, 0, 0]), (1000, [0, 0.6, 0.8])]
    for number, (b_value, direction) in enumerate(gradients, start=1):

        def change(dataset, index, number=number, b_value=b_value, direction=direction):
            dataset.SeriesInstanceUID, dataset.StudyInstanceUID = "1.2.3", "1.2"
            dataset.FrameOfReferenceUID = "1.2.4"
            dataset.InstanceNumber = 10 * number + index
            dataset.DiffusionBValue = b_value
            if direction is not None:
                dataset.DiffusionGradientOrientation = direction

        write_slices(
            tmp_path / "in" / str(number), np.ones((3, 4, 5), int), name=str(number), modality="MR", change=change
        )
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "out"), "--batch"]) == 0
    (path,) = (tmp_path / "out").glob("*.nii.gz")
    (bvec,) = (tmp_path / "out").glob("*.bvec")
    assert bvec.name == path.name.replace(".nii.gz", ".bvec")
    # Columns grow to the left, rows to the back: LPS as the header says, slices to the head, no mirror, x reversed.
    assert np.allclose(np.loadtxt(bvec), [[0, -1, 0], [0, 0, 0.6], [0, 0, 0.8]], atol=1e-6)
