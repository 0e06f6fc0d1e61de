"""``recon montage``: which voxel is where in the picture, which letter at which edge, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import recon
from recon import Image
from recon.cli import main
from recon.errors import UsageError
from recon.io.montage import ERROR_COLOURS, montage, views


def volume(code="LPS"):
    """An LPS grid whose values tell where they are: 100 z + 10 y + x, then turned to `code`."""
    z, y, x = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), torch.arange(6.0), indexing="ij")
    affine = np.diag([-1.0, -2.0, 3.0, 1.0])
    return Image(data=100 * z + 10 * y + x, affine=affine).oriented(code)


@pytest.mark.parametrize("code", ["LPS", "RAS", "PIR", "SAL"])
def test_slices_are_turned_as_radiologists_look_at_them(code):
    """However the file stores it: front on top, head on top, the patient's right on the left."""
    image = volume(code)
    place = volume().to_mm([3, 2, 1])
    at = np.rint(np.linalg.inv(image.affine) @ [*place, 1]).astype(int)[:3]
    (axial, coronal, sagittal), notes = views(image, at=at.tolist())
    assert notes == ()
    assert np.array_equal(axial.values, volume().data[1].double())
    assert np.array_equal(coronal.values, volume().data[:, 2].flip(0).double())
    assert np.array_equal(sagittal.values, volume().data[:, :, 3].flip(0).double())
    assert axial.letters == ("R", "L", "A", "P")
    assert coronal.letters == ("R", "L", "S", "I")
    assert sagittal.letters == ("A", "P", "S", "I")
    assert [view.pixel for view in (axial, coronal, sagittal)] == [(1, 2), (1, 3), (2, 3)]


def test_letters_are_those_of_the_affine():
    """Along each edge, the world's coordinate really grows towards the letter."""
    image = Image(
        data=torch.zeros(4, 5, 6), affine=np.array([[0, 0, 2.0, 0], [-1, 0, 0, 0], [0, 1.5, 0, 0], [0, 0, 0, 1]])
    )
    ramps = {"R": 0, "A": 1, "S": 2}
    index = np.stack(np.meshgrid(range(4), range(5), range(6), indexing="ij")[::-1])
    for letter, axis in ramps.items():
        world = np.einsum("i,izyx->zyx", image.affine[axis, :3], index)
        shown, _ = views(image.with_data(torch.from_numpy(world)))
        for view in shown:
            left, right, top, bottom = view.letters
            if left == letter:
                assert (np.diff(view.values, axis=1) < 0).all()
            if right == letter:
                assert (np.diff(view.values, axis=1) > 0).all()
            if top == letter:
                assert (np.diff(view.values, axis=0) < 0).all()
            if bottom == letter:
                assert (np.diff(view.values, axis=0) > 0).all()


def test_a_plane_and_what_has_no_place():
    (plane,), notes = views(volume()[1])
    assert plane.letters == ("R", "L", "A", "P")
    assert np.array_equal(plane.values, volume().data[1].double())
    shown, notes = views(Image(data=torch.zeros(2, 4, 5, 6), dims=("t", "z", "y", "x")))
    assert len(shown) == 3
    assert all(view.letters is None for view in shown)
    assert any("where in the patient" in note for note in notes)
    assert any("first along t" in note for note in notes)


def test_grey_levels_and_error_colours_are_exact():
    reference = Image(data=torch.full((8, 8, 8), 40.0), affine=np.eye(4), unit="HU")
    result = reference.with_data(reference.data.clone())
    result.data[:, :, :4] += 20
    result.data[:, :, 4:] -= 20
    drawn = montage(reference, result, error=20.0, size=80)
    pixels = np.array(drawn.picture)
    assert (drawn.black, drawn.white, drawn.error) == (-160, 240, 20)
    width = (pixels.shape[1] - 4 * 6) // 3
    row = 22 + 20  # a quarter down the first slice, away from the letters
    for column, value in ((0, 40), (1, 60), (1, 20)):
        grey = round((value + 160) / 400 * 255)
        panel = pixels[row, 6 + column * (width + 6) : 6 + column * (width + 6) + width]
        assert (np.abs(panel.astype(int) - grey).max(axis=-1) <= 1).sum() >= 25
    panel = pixels[row, 6 + 2 * (width + 6) :]
    for colour in (ERROR_COLOURS[0], ERROR_COLOURS[2]):
        assert (panel == colour).all(axis=-1).sum() >= 25


def test_pairs_that_mean_nothing_are_refused():
    image = volume()
    moved = Image(data=image.data, affine=np.diag([-1.0, -2.0, 3.5, 1.0]))
    for other, words in (
        (image[1:], "different sizes"),
        (moved, "different places"),
        (Image(data=image.data, affine=image.affine, unit="HU"), "difference means nothing"),
    ):
        with pytest.raises(UsageError, match=words):
            montage(image, other)
    with pytest.raises(UsageError, match="voxel 0 9 0"):
        montage(image, at=(0, 9, 0))
    with pytest.raises(UsageError, match="above 0"):
        montage(image, image, error=0.0)


def test_odd_values_do_not_break_it():
    image = volume()
    image.data[0] = float("nan")
    image.data[1, 0, 0] = float("inf")
    assert montage(image, image).picture.size[0] > 100
    assert montage(image.with_data(torch.full((4, 5, 6), float("nan")))).black == 0
    assert montage(image.with_data(torch.zeros(4, 5, 6))).white > 0
    assert montage(image.with_data(torch.zeros(4, 5, 6, dtype=torch.complex64))).notes == ("magnitudes are shown",)


def test_command_line(tmp_path, capsys):
    recon.write(volume(), tmp_path / "a.nii.gz")
    recon.write(volume().with_data(volume().data + 1), tmp_path / "b.nii.gz")
    out = tmp_path / "m.png"
    command = ["montage", str(tmp_path / "a.nii.gz"), str(tmp_path / "b.nii.gz"), "-o", str(out)]
    assert main([*command, "--window", "100", "400", "--at", "1", "2", "3", "--size", "90"]) == 0
    assert "black -100, white 300, differences within 1 " in capsys.readouterr().out
    with Pillow.open(out) as picture:
        assert picture.mode == "RGB"
        assert picture.info == {}
    for wrong, words in (
        (["--window", "x"], "--window"),
        (["--at", "9", "9", "9"], "voxel"),
        (["--size", "9999"], "4096"),
    ):
        assert main([*command, *wrong]) == 2
        assert words in capsys.readouterr().err
    assert main([*command[:-1], str(tmp_path / "m.jpg")]) == 2


def test_a_file_that_tells_no_unit(tmp_path, capsys):
    image = Image(data=torch.zeros(3, 4, 5), affine=np.diag([-1.0, -1, 2, 1]), unit="HU")
    recon.write(image, tmp_path / "x.hdf5")
    recon.write(image, tmp_path / "x.nii")
    words = ["montage", str(tmp_path / "x.hdf5"), str(tmp_path / "x.nii"), "-o", str(tmp_path / "x.png")]
    assert main(words) == 2
    assert "if it is the same, add --unit HU" in capsys.readouterr().err
    assert main([*words, "--unit", "HU"]) == 0
    assert main([*words, "--unit", "hu"]) == 2
    assert "did you mean 'HU'" in capsys.readouterr().err
