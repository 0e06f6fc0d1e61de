"""Items of the U-Net and of VarNet against numbers from fastMRI's own code, and against plain transforms."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import recon
from recon.errors import FileFormatError, UsageError
from recon.kspace import crop_centred, ifft_centred, root_sum_of_squares
from recon_datasets.fastmri import FastMRI, write_synthetic
from recon_datasets.fastmri.unet_item import zero_filled

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "fastmri_items.json").read_text())
MASK = {"kind": "fastmri_random", "acceleration": 4, "center_fraction": 0.08}
HEADER = """<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>40</x><y>33</y><z>1</z></matrixSize></encodedSpace>
<reconSpace><matrixSize><x>24</x><y>20</y><z>1</z></matrixSize></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>27</maximum><center>13</center>
</kspace_encoding_step_1></encodingLimits></encoding></ismrmrdHeader>"""


def golden_file(folder, name, chunks=None):
    """Write the volume that the golden numbers are of."""
    coils = 1 if name == "singlecoil" else 3
    z, c, y, x = np.meshgrid(*map(np.arange, (2, coils, 40, 33)), indexing="ij")
    envelope = np.exp(-(((y - 20) / 6) ** 2) - ((x - 16) / 5) ** 2)
    kspace = 1e-4 * envelope * np.exp(1j * (0.7 * x + 0.45 * y + 0.2 * x * y / 9 + c + 0.5 * z)) * (1 + 0.3 * c)
    height, width = (36, 36) if name == "narrow" else (24, 20)
    z, y, x = np.meshgrid(*map(np.arange, (2, height, width)), indexing="ij")
    target = 1e-5 * (1.3 + np.sin(0.4 * x + 0.1 * z) * np.cos(0.3 * y))
    kspace = kspace.astype(np.complex64)
    kspace = kspace[:, 0] if coils == 1 else kspace
    with h5py.File(folder / "file1000000.h5", "w") as file:
        file.create_dataset("kspace", data=kspace, chunks=(1, *kspace.shape[1:]) if chunks else None)
        file["reconstruction_esc" if coils == 1 else "reconstruction_rss"] = target.astype(np.float32)
        file["ismrmrd_header"] = HEADER.encode()
        file.attrs["max"] = 2.3e-5
        file.attrs["acquisition"] = "AXT2"


@pytest.mark.parametrize("chunks", [False, True], ids=["contiguous", "chunked"])
@pytest.mark.parametrize("name", ["singlecoil", "multicoil", "narrow"])
def test_unet_items_are_fastmris(tmp_path, name, chunks):
    golden_file(tmp_path, name, chunks)
    golden = GOLDEN[name]
    item = FastMRI(root=tmp_path, form="unet", mask=MASK)[1]
    assert list(item["measurement"].shape) == [1, *golden["shape"]] == list(item["image"].shape)
    for key, ours in (("image", "measurement"), ("target", "image")):
        for row, column, value in golden[key]:
            assert float(item[ours][0, row, column]) == pytest.approx(value, abs=1e-5)
        assert float(item[ours].double().square().sum()) == pytest.approx(golden[f"{key}_sum_of_squares"], rel=1e-5)
    assert float(item["mean"]) == pytest.approx(golden["mean"], rel=1e-6)
    assert float(item["std"]) == pytest.approx(golden["std"], rel=1e-6)
    assert float(item["maximum"]) == pytest.approx(golden["max"])
    back = item["image"] * (item["std"] + 1e-11) + item["mean"]
    inside = item["image"].abs() < 6
    assert inside.any()
    torch.testing.assert_close(back[inside], item["reference"][inside], rtol=1e-4, atol=1e-10)


@pytest.mark.parametrize("name", ["multicoil", "narrow"])
def test_kspace_items_are_varnets(tmp_path, name):
    golden_file(tmp_path, name)
    golden = GOLDEN[name]["varnet"]
    item = FastMRI(root=tmp_path, mask=MASK)[1]
    assert "".join(str(int(column)) for column in item["mask"].flatten()) == golden["mask"]
    assert item["crop"].tolist() == (golden["crop"] if name == "multicoil" else [36, 36])
    assert float(torch.linalg.vector_norm(item["measurement"])) == pytest.approx(golden["norm"], rel=1e-6)
    assert float(item["maximum"]) == pytest.approx(golden["max"])
    with h5py.File(tmp_path / "file1000000.h5") as file:
        kspace = torch.from_numpy(file["kspace"][1])
    keep = item["mask"].flatten()
    assert torch.equal(item["measurement"][..., keep], kspace[..., keep])
    # Not a product with zero: -0 would tell the sign of what is to be unknown.
    left_out = torch.view_as_real(item["measurement"][..., ~keep])
    assert not left_out.any()
    assert not torch.signbit(left_out).any()


@pytest.mark.parametrize("size", [(24, 20), (23, 19), (40, 33), (1, 1), (39, 2)])
@pytest.mark.parametrize("shape", [(3, 40, 33), (1, 41, 34), (2, 40, 36)])
def test_zero_filled_images_are_those_of_plain_transforms(size, shape):
    generator = torch.Generator().manual_seed(0)
    kspace = torch.randn(shape, generator=generator, dtype=torch.complex64)
    mask = torch.rand(shape[-1], generator=generator) < 0.3
    for columns in (None, mask.nonzero()[:, 0], torch.arange(shape[-1])):
        kept = kspace if columns is None or len(columns) == shape[-1] else torch.where(mask, kspace, 0)
        expected = root_sum_of_squares(crop_centred(ifft_centred(kept.to(torch.complex128)), size), dim=0)[0]
        torch.testing.assert_close(zero_filled(kspace, columns, size).double(), expected, rtol=1e-5, atol=1e-6)


def test_a_files_own_mask_stands(tmp_path):
    own = torch.arange(24) % 3 == 0
    write_synthetic(tmp_path / "a.h5", mask=own)
    for form in ("kspace", "unet"):
        plain, asked = (FastMRI(root=tmp_path, form=form, mask=mask)[0] for mask in (None, MASK))
        assert torch.equal(plain["measurement"], asked["measurement"])
    assert torch.equal(plain["measurement"], FastMRI(root=tmp_path, form="unet")[0]["measurement"])
    assert torch.equal(FastMRI(root=tmp_path, mask=MASK)[0]["mask"][0, 0], own)


def test_a_seed_gives_all_volumes_one_mask(tmp_path):
    for name in ("a", "b"):
        write_synthetic(tmp_path / f"{name}.h5", slices=2, shape=(32, 64))
    by_name = [item["mask"] for item in FastMRI(root=tmp_path, mask=MASK)]
    assert torch.equal(by_name[0], by_name[1])
    assert not torch.equal(by_name[0], by_name[2])
    seeded = [item["mask"] for item in FastMRI(root=tmp_path, mask={**MASK, "seed": 5})]
    assert torch.equal(seeded[0], seeded[2])


def test_padding_is_not_sampled(tmp_path):
    write_synthetic(tmp_path / "a.h5", measured=(3, 20))
    mask = FastMRI(root=tmp_path)[0]["mask"].flatten()
    assert mask.tolist() == [3 <= column < 20 for column in range(24)]
    assert int(FastMRI(root=tmp_path)[0]["num_low_frequencies"]) == 16


@pytest.mark.parametrize(("measured", "count"), [([12], 0), ([11, 12], 2), ([10, 11, 12, 13, 14], 4), (range(24), 24)])
def test_columns_about_the_centre_are_counted(tmp_path, measured, count):
    mask = torch.zeros(24, dtype=torch.bool)
    mask[list(measured)] = True
    write_synthetic(tmp_path / "a.h5", mask=mask)
    assert int(FastMRI(root=tmp_path)[0]["num_low_frequencies"]) == count


@pytest.mark.parametrize("form", ["kspace", "coils", "unet"])
def test_volumes_are_their_slices(tmp_path, form):
    write_synthetic(tmp_path / "a.h5", slices=3)
    write_synthetic(tmp_path / "b.h5", slices=2, seed=1)
    options = {"root": tmp_path, "form": form, "scale": 1e4}
    slices, volumes = FastMRI(**options), FastMRI(**options, items="volumes")
    assert len(volumes) == 2
    volume, parts = volumes[0], [slices[i] for i in range(3)]
    assert set(volume) == set(parts[0]) - {"slice"}
    for name in ("measurement", "image", "target", "reference"):
        if name in volume:
            for number, part in enumerate(parts):
                same = volume[name][number : number + 1] if volume[name].ndim == 3 else volume[name][number]
                assert torch.equal(same, part[name])
    if form == "kspace":
        metric = recon.build("metric", "fastmri_nmse")
        assert float(metric(volume["image"][None], volume["image"][None])) == 0
    assert volumes.buckets() == [0, 1]


def test_buckets_of_unet_items_are_those_of_what_they_are_cropped_to(tmp_path):
    golden_file(tmp_path, "narrow")  # 33 x 33, though its reference is 36 x 36
    write_synthetic(tmp_path / "b.h5", shape=(40, 40), size=(36, 36))
    write_synthetic(tmp_path / "c.h5", shape=(50, 48), size=(36, 36))
    data = FastMRI(root=tmp_path, form="unet")
    shapes = [item["measurement"].shape[1:] for item in data]
    labels = data.buckets()
    assert [shape[0] for shape in shapes] == [36, 36, 36, 36, 33, 33]
    assert labels[0] == labels[1] == labels[2] == labels[3] != labels[4] == labels[5]


def test_unet_items_do_not_depend_on_the_scale(tmp_path):
    write_synthetic(tmp_path / "a.h5")
    plain, scaled = (FastMRI(root=tmp_path, form="unet", mask=None, scale=scale)[0] for scale in (1.0, 1e4))
    for name in ("measurement", "image"):
        assert torch.equal(plain[name], scaled[name])
    for name in ("mean", "std", "reference", "maximum"):
        torch.testing.assert_close(plain[name] * 1e4, scaled[name])


def test_unet_items_of_test_sets_are_cropped_as_the_header_says(tmp_path):
    write_synthetic(tmp_path / "a.h5", mask=torch.arange(24) % 2 == 0, reference=False)
    item = FastMRI(root=tmp_path, form="unet")[0]
    assert item["measurement"].shape == (1, 20, 20)
    assert not {"image", "reference", "maximum"} & set(item)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["ismrmrd_header"]
    with pytest.raises(FileFormatError, match="states no size to crop to"):
        len(FastMRI(root=tmp_path, form="unet"))


def test_what_cannot_be_asked_for(tmp_path):
    with pytest.raises(UsageError, match="set the mask there"):
        FastMRI(root=tmp_path, form="coils", mask=MASK)
    write_synthetic(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["reconstruction_rss"]
        file["reconstruction_rss"] = np.zeros((2, 50, 20), np.float32)
    with pytest.raises(FileFormatError, match=r"\(50, 20\) cannot be cropped from an image of \(32, 24\)"):
        len(FastMRI(root=tmp_path, form="unet"))
