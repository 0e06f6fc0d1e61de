"""Measurement files: everything comes back, damage is named."""

import h5py
import numpy as np
import pytest
import torch

import recon
from recon import Image, Measurement
from recon.errors import FileFormatError, UsageError

AFFINE = np.array([[0, -2.0, 0.1, 10], [1.5, 0, 0, -20], [0, 0.2, 5, 30], [0, 0, 0, 1]])


@pytest.fixture
def measurement():
    g = torch.Generator().manual_seed(0)
    return Measurement(
        data=torch.randn(2, 3, 5, 7, generator=g, dtype=torch.complex64),
        operator_config={
            "use": "multicoil_fourier",
            "maps": torch.randn(3, 5, 7, generator=g, dtype=torch.complex64),
            "mask": torch.arange(7) % 2 == 0,
        },
        reference=Image(data=torch.rand(2, 5, 7, generator=g), affine=AFFINE, unit="HU"),
        affine=AFFINE,
        dims=("z", "y", "x"),
        unit="1/mm",
        metadata={"acquisition": "AXT2", "recon_matrix": (7, 5, 2)},
        notes=("one", "two"),
    )


@pytest.fixture
def path(measurement, tmp_path):
    path = tmp_path / "y.h5"
    recon.write(measurement, path)
    return path


def test_everything_comes_back(measurement, path):
    again = recon.read(path)
    assert torch.equal(again.data, measurement.data)
    assert again.data.dtype == torch.complex64
    config = again.operator_config
    assert config["use"] == "multicoil_fourier"
    assert torch.equal(config["maps"], measurement.operator_config["maps"])
    assert torch.equal(config["mask"], measurement.operator_config["mask"])
    assert config["mask"].dtype == torch.bool
    assert np.array_equal(again.affine, AFFINE)
    assert np.array_equal(again.reference.affine, AFFINE)
    assert torch.equal(again.reference.data, measurement.reference.data)
    for name in ("dims", "unit", "metadata", "notes"):
        assert getattr(again, name) == getattr(measurement, name)
    assert again.reference.unit == "HU"


def test_nested_config_and_absent_parts(tmp_path):
    config = {"use": "composition", "operators": [{"use": "a", "size": (3, 4)}, {"use": "b", "w": np.arange(3)}]}
    recon.write(Measurement(data=torch.zeros(1, 1, 3, dtype=torch.float64), operator_config=config), tmp_path / "y.h5")
    again = recon.read(tmp_path / "y.h5")
    assert again.operator_config["operators"][0] == {"use": "a", "size": [3, 4]}
    assert torch.equal(again.operator_config["operators"][1]["w"], torch.arange(3))
    assert again.affine is None
    assert again.voxel_size is None
    assert again.reference is None
    assert again.dims is None
    assert again.data.dtype == torch.float64


def test_operator_is_rebuilt(measurement, path):
    x = torch.randn(2, 1, 5, 7, generator=torch.Generator().manual_seed(1), dtype=torch.complex64)
    assert torch.equal(recon.read(path).operator()(x), measurement.operator()(x))


def test_images_and_odd_configs_are_refused(tmp_path):
    with pytest.raises(UsageError, match="holds a measurement"):
        recon.write(Image(data=torch.zeros(2, 2)), tmp_path / "y.h5", writer="measurement_file")
    y = Measurement(data=torch.zeros(1, 1, 3), operator_config={"use": "a", "f": len})
    with pytest.raises(UsageError, match="plain values"):
        recon.write(y, tmp_path / "y.h5")
    assert list(tmp_path.iterdir()) == []


def damage_version(file):
    file.attrs["recon_measurement"] = 2


def damage_data(file):
    del file["measurement"]


def damage_json(file):
    file.attrs["recon_operator"] = "{"


def damage_arrays(file):
    del file["operator_arrays/0"]


def damage_affine(file):
    file["measurement"].attrs["affine"] = np.zeros((4, 4))


def damage_unit(file):
    del file["measurement"].attrs["unit"]


def damage_link(file):
    del file["measurement"]
    file["measurement"] = h5py.ExternalLink("other.h5", "/x")


def damage_soft_link(file):
    file.move("measurement", "elsewhere")
    file["measurement"] = h5py.SoftLink("/elsewhere")


def damage_external(file):
    del file["measurement"]
    file.create_dataset("measurement", (1, 1, 4), "f4", external=[("/etc/hostname", 0, 16)])


def damage_virtual(file):
    del file["measurement"]
    layout = h5py.VirtualLayout((1, 1, 4), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (1, 1, 4))
    file.create_virtual_dataset("measurement", layout)


def damage_size(file):
    del file["measurement"]
    file.create_dataset("measurement", (2**30, 2**10, 4), "f4", chunks=(1, 1, 4))


def damage_group(file):
    del file["measurement"]
    file.create_group("measurement")


def damage_type(file):
    del file["measurement"]
    file["measurement"] = np.array([b"text"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_version, "layout version 2.*upgrade"),
        (damage_data, "no dataset 'measurement'"),
        (damage_json, "not JSON"),
        (damage_arrays, "no dataset 'operator_arrays/0'"),
        (damage_affine, "affine"),
        (damage_unit, "damaged attributes"),
        (damage_link, "is a link"),
        (damage_soft_link, "is a link"),
        (damage_external, "in other files"),
        (damage_virtual, "in other files"),
        (damage_size, "declares"),
        (damage_group, "is a group"),
        (damage_type, "not numbers"),
    ],
)
def test_damage_is_named(path, damage, message):
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(FileFormatError, match=message):
        recon.read(path)


def test_truncated(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(FileFormatError, match="damaged or cut off"):
        recon.read(path)


def test_other_hdf5(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["something"] = 1
    with pytest.raises(FileFormatError, match="not recognise its content"):
        recon.read(tmp_path / "x.h5")
