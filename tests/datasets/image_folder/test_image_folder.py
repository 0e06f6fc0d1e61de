"""Pictures: right values for every kind of file, refusals where Pillow would lose something."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import recon
from recon import Image
from recon.errors import FileFormatError, UsageError
from recon_datasets.image_folder import ImageFolder, PictureWriter, load_picture

RANDOM = np.random.default_rng(0)
GRAY = RANDOM.integers(0, 256, (5, 7), dtype=np.uint8)
COLOUR = RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8)


def save(values, path, **options):
    Pillow.fromarray(values).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_lossless_kinds(tmp_path, suffix):
    gray = load_picture(save(GRAY, tmp_path / f"g.{suffix}"))
    assert torch.equal(gray, torch.from_numpy(GRAY)[None] / 255)
    colour = load_picture(save(COLOUR, tmp_path / f"c.{suffix}"))
    assert torch.equal(colour, torch.from_numpy(COLOUR).movedim(-1, 0) / 255)


def test_jpeg_equals_pillow(tmp_path):
    path = save(COLOUR, tmp_path / "x.jpg")
    expected = torch.from_numpy(np.array(Pillow.open(path))).movedim(-1, 0) / 255
    assert torch.equal(load_picture(path), expected)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_kept(tmp_path, suffix):
    values = RANDOM.integers(0, 65536, (4, 6), dtype=np.uint16)
    picture = load_picture(save(values, tmp_path / f"x.{suffix}"))
    assert torch.equal((picture[0] * 65535).round().int(), torch.from_numpy(values.astype(np.int32)))


def test_float_tiff_is_kept(tmp_path):
    values = RANDOM.normal(size=(4, 6)).astype(np.float32)
    assert torch.equal(load_picture(save(values, tmp_path / "x.tif"))[0], torch.from_numpy(values))


def test_modes(tmp_path):
    path = save(COLOUR, tmp_path / "c.png")
    luminance = (COLOUR.astype(np.float64) @ [0.299, 0.587, 0.114]) / 255
    assert np.allclose(load_picture(path, "gray")[0], luminance, atol=1e-6)
    assert load_picture(save(GRAY, tmp_path / "g.png"), "rgb").shape == (3, 5, 7)
    palette = Pillow.fromarray(GRAY).convert("P")
    palette.save(tmp_path / "p.png")
    assert torch.equal(load_picture(tmp_path / "p.png", "rgb")[0], torch.from_numpy(GRAY) / 255)
    Pillow.fromarray(GRAY > 100).save(tmp_path / "b.png")
    assert torch.equal(load_picture(tmp_path / "b.png")[0], torch.from_numpy(GRAY > 100).float())


def test_opacity_is_dropped(tmp_path):
    rgba = np.dstack([COLOUR, GRAY])
    assert torch.equal(load_picture(save(rgba, tmp_path / "x.png")), torch.from_numpy(COLOUR).movedim(-1, 0) / 255)


def test_orientation_tag_is_applied(tmp_path):
    exif = Pillow.Exif()
    exif[0x0112] = 6  # turn clockwise to view
    smooth = np.repeat(np.linspace(0, 255, 16).astype(np.uint8)[None], 8, axis=0)
    picture = load_picture(save(smooth, tmp_path / "x.jpg", exif=exif, quality=100))
    assert picture.shape == (1, 16, 8)
    assert picture[0, 0].mean() < 0.1 < 0.9 < picture[0, -1].mean()


def test_what_pillow_would_lose_is_refused(tmp_path):
    header = b"\x89PNG\r\n\x1a\n"
    import struct
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + bytes(2 * 3 * 2) for _ in range(2))
    (tmp_path / "deep.png").write_bytes(
        header
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(FileFormatError, match="16-bit RGB pixels"):
        load_picture(tmp_path / "deep.png")
    page = Pillow.fromarray(GRAY)
    page.save(tmp_path / "pages.tif", save_all=True, append_images=[page])
    with pytest.raises(FileFormatError, match="2 pages"):
        load_picture(tmp_path / "pages.tif")


def test_damaged_files(tmp_path):
    path = save(RANDOM.integers(0, 256, (64, 64), dtype=np.uint8), tmp_path / "x.png")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(FileFormatError, match=r"x\.png is not a readable picture"):
        load_picture(path)
    path.write_text("hello")
    with pytest.raises(FileFormatError, match=r"x\.png is not a readable picture"):
        load_picture(path)
    with pytest.raises(FileFormatError, match="does not exist"):
        load_picture(tmp_path / "none.png")


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(FileFormatError, match="too many pixels"):
        load_picture(save(np.zeros((20, 20), np.uint8), tmp_path / "x.png"))


def test_folder(tmp_path):
    save(COLOUR, tmp_path / "b.PNG")
    (tmp_path / "a").mkdir()
    save(GRAY, tmp_path / "a" / "z.png")
    (tmp_path / ".DS_Store").write_text("junk")
    (tmp_path / "._b.png").write_text("junk")
    (tmp_path / "notes.txt").write_text("junk")
    data = ImageFolder(root=tmp_path)
    assert [path.name for path in data.files] == ["z.png", "b.PNG"]
    assert len(data) == 2
    assert data[1]["image"].shape == (1, 5, 7)
    assert ImageFolder(root=tmp_path, mode="file")[1]["image"].shape == (3, 5, 7)
    assert torch.equal(pickle.loads(pickle.dumps(data))[0]["image"], data[0]["image"])
    with pytest.raises(IndexError):
        data[2]


def test_empty_and_missing_folder(tmp_path):
    with pytest.raises(FileFormatError, match=r"holds no file ending in \.png"):
        len(ImageFolder(root=tmp_path))
    with pytest.raises(FileFormatError, match="does not exist"):
        len(ImageFolder(root=tmp_path / "none"))


def test_read_and_write(tmp_path):
    for values, dims in ((GRAY, ("y", "x")), (COLOUR, ("channel", "y", "x"))):
        image = recon.read(save(values, tmp_path / "a.png"))
        assert image.dims == dims
        assert image.affine is None
        recon.write(image, tmp_path / "b.png")
        assert np.array_equal(np.array(Pillow.open(tmp_path / "b.png")), values)


def test_write_16_bits(tmp_path):
    values = torch.rand(6, 5, generator=torch.Generator().manual_seed(0))
    PictureWriter(bits=16).write(Image(data=values), tmp_path / "x.png")
    assert torch.allclose(load_picture(tmp_path / "x.png")[0], values, atol=0.51 / 65535)


def test_overshoots_are_clipped(tmp_path):
    recon.write(Image(data=torch.tensor([[-0.2, 0.5], [1.0, 1.3]])), tmp_path / "x.png")
    assert np.array(Pillow.open(tmp_path / "x.png")).tolist() == [[0, 128], [255, 255]]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image(data=torch.full((2, 2), 1000.0), unit="HU"), "do not fit a PNG"),
        (Image(data=torch.full((2, 2), float("nan"))), "do not fit a PNG"),
        (Image(data=torch.full((2, 2), 1e-5)), "all become black"),
        (Image(data=torch.zeros(2, 2, 2)), "draw volumes"),
        (Image(data=torch.zeros(2, 2, 2), dims=("channel", "y", "x")), "draw volumes"),
        (Image(data=torch.zeros(2, 2, dtype=torch.complex64)), "complex"),
        (recon.Measurement(data=torch.zeros(1, 1, 2)), "not a measurement"),
    ],
)
def test_what_a_png_cannot_hold(tmp_path, image, message):
    with pytest.raises(UsageError, match=message):
        recon.write(image, tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_real_pictures(shared_data):
    data = ImageFolder(root=shared_data / "natural" / "set12")
    assert len(data) == 12
    assert all(item["image"].shape[0] == 1 for item in (data[0], data[11]))
