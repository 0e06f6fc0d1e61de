"""Stacks of pictures: order by number, values kept, what does not belong together is refused; windows of CT."""

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import recon
from recon import Image
from recon.errors import CodedFileError, FileFormatError, ParameterError, UsageError
from recon.io.windows import WINDOWS, window_limits
from recon_datasets.image_folder import PictureWriter, StackReader

RANDOM = np.random.default_rng(0)


def save(folder, names, values):
    folder.mkdir(exist_ok=True)
    for name, plane in zip(names, values, strict=True):
        Pillow.fromarray(plane).save(folder / name)
    return folder


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_order_is_by_number(tmp_path, dtype):
    values = (200 * RANDOM.random((4, 5, 7))).astype(dtype)
    names = [f"Scan2_{number}.tif" for number in (8, 9, 10, 11)]
    image = recon.read(save(tmp_path / "s", names, values))
    assert image.dims == ("z", "y", "x")
    assert (image.affine, image.voxel_size) == (None, None)
    assert np.array_equal(image.data.numpy(), values.astype("i4" if dtype == "u2" else dtype))


def test_scaled_colours(tmp_path):
    values = RANDOM.integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    folder = save(tmp_path / "s", ["a01.png", "a02.png"], values)
    reader = StackReader(scaled=True, voxel_size=(0.5, 0.5, 2.0))
    image = reader.read(folder)
    assert image.dims == ("channel", "z", "y", "x")
    assert image.voxel_size == (0.5, 0.5, 2.0)
    assert torch.allclose(image.data, torch.from_numpy(values).movedim(-1, 0) / 255)


def test_pages(tmp_path):
    values = RANDOM.integers(0, 65536, (3, 5, 7), dtype=np.uint16)
    first, *others = [Pillow.fromarray(page) for page in values]
    first.save(tmp_path / "x.tif", save_all=True, append_images=others, compression="tiff_deflate")
    assert np.array_equal(recon.read(tmp_path / "x.tif").data.numpy(), values.astype(np.int32))
    first.save(tmp_path / "y.tif")
    assert recon.read(tmp_path / "y.tif").dims == ("y", "x")  # one page is a picture


def test_what_is_no_stack(tmp_path):
    values = RANDOM.integers(0, 256, (3, 5, 7), dtype=np.uint8)
    folder = save(tmp_path / "a", ["sinogram.png", "dark.png", "flat1.png"], values)
    with pytest.raises(FileFormatError, match="holds no series"):
        recon.read(folder)
    with pytest.raises(CodedFileError, match=r"RECON-IMAGE-TRUNCATED.*number 3 on"):
        recon.read(save(tmp_path / "b", ["x1.png", "x2.png", "x4.png"], values))
    other = [values[0], values[1][:4], values[2]]
    with pytest.raises(CodedFileError, match=r"RECON-IMAGE-GRID.*picture 2 of 3"):
        recon.read(save(tmp_path / "c", ["x1.png", "x2.png", "x3.png"], other))
    other = [values[0], values[1], values[2].astype(np.uint16)]
    with pytest.raises(CodedFileError, match=r"RECON-IMAGE-GRID.*picture 3 of 3"):
        recon.read(save(tmp_path / "d", ["x1.png", "x2.png", "x3.png"], other))
    folder = save(tmp_path / "e", ["x1.png", "x2.png", "x3.png"], values)
    with pytest.raises(CodedFileError, match=r"RECON-IMAGE-SIZE"):
        StackReader(limit_gb=1e-8).read(folder)
    (folder / "x2.png").write_bytes((folder / "x2.png").read_bytes()[:60])
    with pytest.raises(FileFormatError, match="not a readable picture"):
        recon.read(folder)


def test_dicom_beside_pictures_is_a_tie(tmp_path):
    from recon_datasets.dicom_series import write_slices

    values = RANDOM.integers(0, 256, (2, 8, 8), dtype=np.uint8)
    folder = save(tmp_path / "s", ["x1.png", "x2.png"], values)
    write_slices(folder, values.astype(np.int16))
    with pytest.raises(CodedFileError, match=r"RECON-IMAGE-READER.*'dicom_series' and 'picture_stack'") as error:
        recon.read(folder)
    assert error.value.code == "RECON-IMAGE-READER"
    assert recon.read(folder, reader="picture_stack").shape == (2, 8, 8)


@pytest.mark.parametrize(("bits", "top"), [(8, 255), (16, 65535)])
def test_png_through_a_window(tmp_path, bits, top):
    values = torch.tensor([[-1000.0, -160.0, 40.0], [240.0, 3000.0, float("nan")]])
    writer = {"use": "picture", "bits": bits, "window": "soft_tissue"}
    recon.write(Image(data=values, unit="HU"), tmp_path / "x.png", writer=writer)
    stored = np.array(Pillow.open(tmp_path / "x.png")).astype(int)
    assert stored.tolist() == [[0, 0, round(top / 2)], [top, top, 0]]
    PictureWriter(bits=8, window=(0, 2)).write(Image(data=torch.tensor([[-1.0, 0.0, 1.0]])), tmp_path / "y.png")
    assert np.array(Pillow.open(tmp_path / "y.png")).tolist() == [[0, 128, 255]]


def test_windows():
    assert window_limits("lung") == (-1350.0, 150.0)
    assert window_limits("soft-tissue") == window_limits((40, 400)) == (-160.0, 240.0)
    assert all(low < high for low, high in map(window_limits, WINDOWS))
    for wrong in ("kidney", (0, 0), (0, -5), (float("nan"), 5)):
        with pytest.raises(UsageError):
            window_limits(wrong)
    with pytest.raises((UsageError, ParameterError)):
        recon.write(Image(data=torch.zeros(2, 2)), "x.png", writer={"use": "picture", "window": "kidney"})
