"""LoDoPaB-CT: the published layout and geometry, against closed-form line integrals; bad files refused."""

from __future__ import annotations

import math
import pickle

import h5py
import numpy as np
import pytest
import torch

import recon
from recon.errors import FileFormatError
from recon.testing.ellipsoids import Ellipsoid, chords, values_at
from recon_datasets.lodopab import LoDoPaB, LoDoPaBReader, operator_config, write_lodopab
from recon_datasets.lodopab.geometry import MU_MAX, upright
from recon_datasets.lodopab.synthetic import phantom


@pytest.fixture(scope="module")
def pair():
    return phantom(3)


@pytest.fixture
def root(tmp_path, pair):
    image, sinogram = pair
    for number, samples in ((0, 2), (2, 1)):  # a part of which file 001 was not downloaded
        scale = np.arange(1, samples + 1)[:, None, None] + 10 * number
        write_lodopab(tmp_path / f"ground_truth_train_{number:03d}.hdf5", scale * image)
        folder = tmp_path / "observation_train"
        folder.mkdir(exist_ok=True)
        write_lodopab(folder / f"observation_train_{number:03d}.hdf5", scale * sinogram)
    return tmp_path


def relative(a, b):
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("units", ["1/mm", "normalised"])
def test_measurement_is_the_operator_on_the_image(root, units):
    data = LoDoPaB(root=root, units=units)
    item = data[0]
    operator = recon.build("operator", data.operator_config())
    assert item["measurement"].shape == (1, 1000, 513)
    assert item["image"].shape == (1, 362, 362)
    # 2.1e-3 is what pixels leave of sharp edges; 0.5 % of wrong bin size gives 1.1e-2, a flip 0.13.
    assert relative(operator(item["image"][None])[0], item["measurement"]) < 3e-3
    assert relative(operator(item["image"].flip(-1)[None])[0], item["measurement"]) > 0.1


def test_orientation_and_units_are_the_published_ones():
    """A disk right of and above the centre, as the stored [x, y] array with y up says, by sums of its samples."""
    half, n = 0.13, 362
    x = -half + (np.arange(n) + 0.5) * 2 * half / n
    stored = values_at([Ellipsoid(1.0, (0.06, 0.02), (0.01, 0.01))], np.stack(np.meshgrid(x, x, indexing="ij"), -1))
    assert stored[262].sum() > 0  # x index 262 is 0.0585 m
    rows, columns = torch.nonzero(upright(torch.from_numpy(stored)), as_tuple=True)
    assert columns.double().mean().item() == pytest.approx((0.06 + half) * n / (2 * half) - 0.5, abs=0.1)
    assert rows.double().mean().item() == pytest.approx((half - 0.02) * n / (2 * half) - 0.5, abs=0.1)
    # A ray through its middle in view k meets it at s = x cos + y sin; half a view's step would be 0.1 bins.
    middle = [1000 * float((x * stored.sum(1 - axis)).sum() / stored.sum()) for axis in (0, 1)]
    config = operator_config()
    assert config["bin_size"] == pytest.approx(0.71676, abs=1e-5)
    assert config["pixel"] == pytest.approx(0.71823, abs=1e-5)
    assert pytest.approx(0.0813586, abs=1e-7) == MU_MAX
    y = recon.build("operator", config)(upright(torch.from_numpy(stored)).float()[None, None])[0, 0]
    for view in (100, 400, 800):
        theta = (view + 0.5) * math.pi / 1000
        s = middle[0] * math.cos(theta) + middle[1] * math.sin(theta)
        centre = (y[view] * torch.arange(513)).sum() / y[view].sum()
        assert float(centre) == pytest.approx(s / config["bin_size"] + 256, abs=0.01)


def test_phantom_equals_numerical_integrals(pair):
    """The writer's closed form against a sum along rays: neither side is the projector."""
    shapes = [Ellipsoid(1.0, (0.02, -0.03), (0.05, 0.03), 0.7), Ellipsoid(-0.5, (0.0, 0.0), (0.02, 0.02))]
    theta, s = 0.4, 0.013
    along = np.array([-math.sin(theta), math.cos(theta)])
    origin = s * np.array([math.cos(theta), math.sin(theta)])
    steps = np.linspace(-0.2, 0.2, 400001)
    total = values_at(shapes, origin + steps[:, None] * along).sum() * (steps[1] - steps[0])
    assert float(chords(shapes, origin, along)) == pytest.approx(total, rel=1e-4)


def test_index_over_files_and_patients(root):
    data = LoDoPaB(root=root)
    assert len(data) == 3
    assert [int(item["sample"]) for item in data] == [0, 1, 256]
    assert "patient" not in data[0]
    ratio = data[2]["image"].max() / data[0]["image"].max()
    assert ratio == pytest.approx(21, rel=1e-5)
    assert data[-1]["sample"] == 256
    with pytest.raises(IndexError):
        data[3]
    (root / "patient_ids_rand_train.csv").write_text("".join(f"{n // 100}\n" for n in range(257)))
    assert [int(item["patient"]) for item in LoDoPaB(root=root)] == [0, 0, 2]
    (root / "patient_ids_rand_train.csv").write_text("0\n1\n")
    with pytest.raises(FileFormatError, match="ends before sample 256"):
        LoDoPaB(root=root)[2]


def test_handles_stay_in_their_process(root):
    data = LoDoPaB(root=root, keep_open=1)
    first = data[0]["measurement"]
    data[2]
    assert len(data._handles) == 1
    again = pickle.loads(pickle.dumps(data))
    assert again._handles == {}
    assert torch.equal(again[0]["measurement"], first)


def test_reader_and_fbp(root, pair):
    path = root / "observation_train" / "observation_train_002.hdf5"
    measurement = recon.read(path)
    assert measurement.data.shape == (1, 1, 1000, 513)
    assert measurement.reference is None
    write_lodopab(root / "observation_train_002.hdf5", 21 * pair[1][None])
    measurement = recon.read(root / "observation_train_002.hdf5")
    image = recon.build("method", "fbp")(measurement.data, measurement.operator())
    reference = measurement.reference.data[:, None]
    assert relative(image, reference) < 0.06
    assert float(image.mean() / reference.mean()) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: (r / "ground_truth_train_002.hdf5").unlink(), "has no ground_truth_train_"),
        (lambda r: write_lodopab(r / "ground_truth_train_000.hdf5", np.zeros((3, 362, 362))), "holds 2 samples, .* 3"),
        (lambda r: write_lodopab(r / "ground_truth_train_000.hdf5", np.zeros((2, 361, 362))), r"\(n, 362, 362\)"),
        (lambda r: (r / "ground_truth_train_000.hdf5").write_bytes(b"cut"), "not a readable HDF5"),
        (lambda r: write_lodopab(r / "ground_truth_train_000.hdf5", np.full((2, 362, 362), np.nan)), "not finite"),
        (lambda r: (r / "patient_ids_rand_train.csv").write_text("one\n"), "not a list of whole numbers"),
    ],
)
def test_bad_folders_are_explained(root, change, message):
    change(root)
    with pytest.raises(FileFormatError, match=message) as error:
        LoDoPaB(root=root)[0]
    assert "\n" not in str(error.value)


def test_missing_parts_are_explained(root):
    with pytest.raises(FileFormatError, match="unpack the archive of part 'test'"):
        len(LoDoPaB(root=root, part="test"))
    with pytest.raises(FileFormatError, match="does not exist"):
        len(LoDoPaB(root=root / "nowhere"))


def test_other_hdf5_files_are_not_accepted(root, tmp_path):
    assert not LoDoPaBReader().accepts(root / "ground_truth_train_000.hdf5")
    with h5py.File(tmp_path / "b.hdf5", "w") as file:
        file["data"] = h5py.SoftLink("/elsewhere")
    assert not LoDoPaBReader().accepts(tmp_path / "b.hdf5")
    with pytest.raises(FileFormatError, match="not a file of LoDoPaB-CT"):
        LoDoPaBReader().read(root / "ground_truth_train_000.hdf5")
