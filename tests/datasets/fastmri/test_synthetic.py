"""Synthetic files follow the schema of the published ones."""

import h5py
import numpy as np
import pytest
import torch

import recon
from recon.cli import main
from recon.errors import UsageError
from recon_datasets.fastmri import FastMRI, FastMRIReader, write_phantoms, write_synthetic
from recon_datasets.fastmri.synthetic import PROTOCOLS


@pytest.mark.parametrize("acquisition", PROTOCOLS)
def test_the_header_is_valid(tmp_path, acquisition):
    """By the classes that are generated from ISMRMRD's schema, which refuse what it does not allow."""
    xsd = pytest.importorskip("ismrmrd.xsd")
    write_synthetic(tmp_path / "a.h5", acquisition=acquisition, measured=(2, 21), slices=3)
    with h5py.File(tmp_path / "a.h5") as file:
        header = xsd.CreateFromDocument(file["ismrmrd_header"][()])
    (encoding,) = header.encoding
    assert (encoding.encodedSpace.matrixSize.x, encoding.encodedSpace.matrixSize.y) == (32, 24)
    assert (encoding.reconSpace.matrixSize.x, encoding.reconSpace.matrixSize.y) == (20, 20)
    limits = encoding.encodingLimits.kspace_encoding_step_1
    assert (24 // 2 - limits.center, 24 // 2 - limits.center + limits.maximum + 1) == (2, 21)
    assert header.measurementInformation.protocolName == acquisition
    assert header.acquisitionSystemInformation.receiverChannels == 3
    assert len(header.sequenceParameters.TI) == (acquisition == "AXFLAIR")
    assert header.subjectInformation is None


def test_attributes_and_datasets(tmp_path):
    write_synthetic(tmp_path / "train.h5", coils=None)
    with h5py.File(tmp_path / "train.h5") as file:
        assert set(file) == {"kspace", "ismrmrd_header", "reconstruction_esc", "reconstruction_rss"}
        assert set(file.attrs) == {"acquisition", "max", "norm", "patient_id"}
        assert file["kspace"].dtype == np.complex64
        assert file["reconstruction_esc"].dtype == np.float32
        assert file.attrs["max"] == pytest.approx(file["reconstruction_esc"][()].max())
        assert file.attrs["norm"] == pytest.approx(np.linalg.norm(file["reconstruction_esc"][()]))
    mask = torch.arange(24) % 4 == 0
    mask[10:15] = True
    write_synthetic(tmp_path / "test.h5", mask=mask, reference=False)
    with h5py.File(tmp_path / "test.h5") as file:
        assert set(file) == {"kspace", "ismrmrd_header", "mask"}
        assert set(file.attrs) == {"acquisition", "acceleration", "num_low_frequency", "patient_id"}
        assert file.attrs["num_low_frequency"] == 5
        assert file["mask"].shape == (24,)


def test_columns_that_were_not_measured_are_zero_and_told(tmp_path):
    write_synthetic(tmp_path / "a.h5", measured=(3, 20))
    y = recon.read(tmp_path / "a.h5")
    assert y.metadata["padding"] == (3, 20)
    columns = y.data.abs().sum((0, 1, 2))
    assert (columns > 0).tolist() == [3 <= column < 20 for column in range(24)]
    assert FastMRIReader().problems(tmp_path / "a.h5") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"acquisition": "T3"}, "unknown protocol 'T3'"),
        ({"measured": (13, 20)}, "hold the centre"),
        ({"measured": (-1, 20)}, "must lie in 0 to 23"),
        ({"measured": (0, 25)}, "must lie in 0 to 23"),
    ],
)
def test_what_cannot_be_written(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        write_synthetic(tmp_path / "a.h5", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("anatomy", "coils"), [("knee", 0), pytest.param("brain", 2, marks=pytest.mark.slow)])
def test_phantoms(tmp_path, anatomy, coils, capsys):
    folder = tmp_path / "phantoms"
    sizes = ["--volumes", "1", "--slices", "1"]
    command = ["make-fastmri", str(folder), "--anatomy", anatomy, "--coils", str(coils), *sizes]
    assert main(command) == 0
    assert main(["check-data", str(folder)]) == 0
    assert "3 files checked, none with problems" in capsys.readouterr().out
    kind = "multicoil" if coils else "singlecoil"
    train, test = (FastMRI(root=folder, challenge=kind, split=split, form="unet") for split in ("train", "test"))
    assert len(train) == len(test) == 1
    assert "image" in train[0]
    assert "image" not in test[0]
    widths = {facts.size[1] for split in ("train", "val") for _, facts in FastMRI(root=folder, split=split).volumes}
    assert len(widths) == 2
    # The noise is small: what is shown is a phantom, not noise.
    image = train[0]["reference"]
    assert image.max() > 20 * image[..., :8, :8].std()
    with pytest.raises(UsageError, match="not empty"):
        write_phantoms(folder)


def test_phantoms_that_cannot_be(tmp_path):
    with pytest.raises(UsageError, match="above 0"):
        write_phantoms(tmp_path / "a", slices=0)
    assert not (tmp_path / "a").exists()
