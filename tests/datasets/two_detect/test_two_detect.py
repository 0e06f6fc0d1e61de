"""2DeteCT: the published layout, and the geometry of the publishers' own script, against closed-form line integrals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import recon
from recon.errors import FileFormatError, ParameterError
from recon_datasets.two_detect import TwoDetect, TwoDetectReader, operator_config, write_synthetic
from recon_datasets.two_detect.geometry import image_pixel
from recon_datasets.two_detect.synthetic import counts, image, write_two_detect


@pytest.fixture
def root(tmp_path):
    write_synthetic(tmp_path)
    return tmp_path


def relative(a, b):
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize(("number", "shifted"), [(1, True), (2830, True), (2831, False), (5521, True), (5871, False)])
def test_measurement_is_the_operator_on_the_image(tmp_path, number, shifted):
    pixels = 480
    folder = tmp_path / f"slice{number:05d}" / "mode2"
    write_two_detect(folder, counts(90, pixels, shifted=shifted), photons=60000)
    measurement = recon.read(folder)
    assert measurement.data.shape == (1, 1, 90, 240)
    assert measurement.notes == ()
    config = {**measurement.operator_config, "size": (512, 512), "pixel": 2 * measurement.operator_config["pixel"]}
    x = torch.from_numpy(image(pixels, 512))[None, None]
    gap = relative(recon.build("operator", config)(x), measurement.data)
    assert gap < 0.006
    for wrong in ({"offset": -0.1496 - config["offset"]}, {"offset": -config["offset"]}, {"centre": (0.0, 0.0)}):
        if wrong != {"offset": config["offset"]}:
            assert relative(recon.build("operator", {**config, **wrong})(x), measurement.data) > 1.3 * gap
    assert relative(recon.build("operator", config)(x.flip(-1)), measurement.data) > 0.1


def test_grid_and_shift_are_those_of_the_publishers_script():
    """It moves bin i + 1 to bin i, takes a centred detector and grid of 2048, and cuts out [511:1535, 511:1535]."""
    config = operator_config(views=12)
    assert config["bins"] == 956
    assert config["pixel"] == pytest.approx(956 * 0.1496 * 431.019989 / 529.000488 / 1024)
    ours = recon.build("operator", config)
    whole = torch.arange(2048, dtype=torch.float64) - 1023.5
    x, y = ours.grid.coordinates()
    torch.testing.assert_close(x, (whole * config["pixel"])[511:1535])
    torch.testing.assert_close(y, (-whole * config["pixel"])[511:1535])
    bins = (torch.arange(956, dtype=torch.float64) - 477.5) * 0.1496
    torch.testing.assert_close(ours.geometry.positions()[1:], bins[:-1])
    later = recon.build("operator", operator_config(views=12, number=2831))
    torch.testing.assert_close(later.geometry.positions(), bins)


def test_dataset(root):
    data = TwoDetect(root=root, mode=1, views=12)
    assert len(data) == 2
    item = data[1]
    assert item["measurement"].shape == (1, 12, 60)
    assert item["number"] == 2
    assert item["image"].shape == (1, 1024, 1024)
    assert torch.equal(item["image"][0], torch.from_numpy(image(120)))
    whole = TwoDetect(root=root, mode=1, views=24, reference=None)[1]
    assert "image" not in whole
    assert torch.equal(whole["measurement"][:, ::2], item["measurement"])
    operator = recon.build("operator", data.operator_config())
    assert relative(operator(item["image"][None])[0], item["measurement"]) < 0.03
    assert data.operator_config()["angles"] == operator_config(views=12, pixels=120)["angles"]
    assert len(TwoDetect(root=root, views=24, first=2)) == 1
    with pytest.raises(IndexError):
        data[2]


def test_reference_beside_the_sinogram(tmp_path):
    folder = tmp_path / "slice00007" / "mode2"
    stored = image(120) * image_pixel(120)
    write_two_detect(folder, counts(24, 120), reconstruction=stored)
    reference = recon.read(folder).reference
    assert reference.unit == "1/mm"
    torch.testing.assert_close(reference.data, torch.from_numpy(image(120)))
    (tmp_path / "other").mkdir()
    folder.rename(tmp_path / "other" / "mode2")
    assert "no folder sliceNNNNN tells the number" in recon.read(tmp_path / "other" / "mode2").notes[0]


def save(path, values):
    Pillow.fromarray(values).save(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "dark.tif").unlink(), "lacks dark.tif; a slice of 2DeteCT has sinogram.tif"),
        (lambda f: (f / "sinogram.tif").write_bytes((f / "sinogram.tif").read_bytes()[:900]), "not a readable TIFF"),
        (lambda f: save(f / "sinogram.tif", np.ones((25, 119), "u2")), r"\(25, 119\); needed are views"),
        (lambda f: save(f / "flat1.tif", np.ones((1, 60), "u2")), r"flat1.tif has the shape \(1, 60\), not one line"),
        (lambda f: [save(f / f"flat{n}.tif", np.zeros((1, 120), "u2")) for n in (1, 2)], "in 60 of 60 detector bins"),
        (lambda f: save(f / "sinogram.tif", np.full((25, 120), np.nan, "f4")), "1440 of 1440 counts are NaN"),
        (lambda f: save(f / "sinogram.tif", np.full((25, 120), -1, "f4")), "1440 of 1440 counts are negative"),
    ],
)
def test_bad_slices_are_explained(tmp_path, change, message):
    folder = tmp_path / "slice00001" / "mode2"
    write_two_detect(folder, counts(24, 120))
    change(folder)
    with pytest.raises(FileFormatError, match=message) as error:
        TwoDetectReader().read(folder)
    assert "\n" not in str(error.value)


def test_bad_folders_are_explained(root, tmp_path):
    for params, message in (
        ({"mode": 3}, "holds no slice 1 to 2830 of mode 3"),
        ({"reference": 1}, "slice 1 has no mode1/reconstruction.tif; unpack the archive of reconstructions"),
        ({"views": 7}, "7 views cannot be taken evenly out of 24"),
        ({"root": root / "nowhere"}, "does not exist"),
    ):
        with pytest.raises(FileFormatError, match=message):
            TwoDetect(**{"root": root, "views": 24, **params})[0]
    with pytest.raises(ParameterError, match="last must not be below first"):
        recon.build("dataset", {"use": "two_detect", "root": str(root), "first": 5, "last": 4})
    write_two_detect(root / "slice02831" / "mode2", counts(24, 120, shifted=False))
    with pytest.raises(FileFormatError, match="two mountings of the detector"):
        len(TwoDetect(root=root, last=5000, reference=None))
    path = next(root.rglob("slice00001/mode2/reconstruction.tif"))
    save(path, np.ones((5, 5), "f4"))
    with pytest.raises(FileFormatError, match=r"\(5, 5\), not 1024 x 1024"):
        TwoDetect(root=root, views=24)[0]
