"""What is refused, in one clear line."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import recon
from recon.errors import FileFormatError, UsageError
from recon.io.mrd_header import header_xml
from recon_datasets.fastmri import write_synthetic
from recon_datasets.ismrmrd import ISMRMRDReader, write_readouts
from recon_datasets.ismrmrd.synthetic import point_encoding, point_readouts

from .scans import FOV, MATRIX, POINT, joined, noise, slice_scan, write


def test_other_hdf5_files_are_told(tmp_path):
    write_synthetic(tmp_path / "fastmri.h5")
    with pytest.raises(FileFormatError, match=r"not an ISMRMRD file.* needs the reader 'fastmri'"):
        ISMRMRDReader().read(tmp_path / "fastmri.h5")
    write(tmp_path / "mrd.h5")
    with pytest.raises(FileFormatError, match=r"not a fastMRI file.*ISMRMRD"):
        recon.build("reader", "fastmri").read(tmp_path / "mrd.h5")
    assert not ISMRMRDReader().accepts(tmp_path / "fastmri.h5")
    assert recon.read(tmp_path / "fastmri.h5").operator_config["use"] == "fourier"


def no_header(path):
    write_readouts(path, None, slice_scan())


def zero_readouts(path):
    write_readouts(path, header_xml(point_encoding(MATRIX, FOV), {}, coils=2), slice_scan().take(np.zeros(12, bool)))


def noise_alone(path):
    write(path, noise())


def wrong_rank(path):
    write(path)
    with h5py.File(path, "r+") as file:
        data = file["dataset/data"][:]
        del file["dataset/data"]
        file["dataset"].create_dataset("data", data=data.reshape(3, 4))


def short_readout(path):
    readouts = slice_scan()
    readouts.head["number_of_samples"][3] = 20
    write(path, readouts)


def absurd_matrix(path):
    write(path, encoding=point_encoding((60000, 60000, 1), FOV))


def impossible_matrix(path):
    text = header_xml(point_encoding(MATRIX, FOV), {}, coils=2).replace("<y>12</y>", "<y>9999999</y>")
    write_readouts(path, text, slice_scan())


def mixed_channels(path):
    write(path, joined(slice_scan(lines=range(6)), slice_scan(lines=range(6, 12), coils=3)))


def wide_readouts(path):
    write(path, point_readouts(POINT, matrix=(40, 12, 1), fov=FOV))


def entities(path):
    write_readouts(path, '<!DOCTYPE x [<!ENTITY a "b">]><ismrmrdHeader/>', slice_scan())


def no_matrix(path):
    write_readouts(
        path, '<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding/></ismrmrdHeader>', slice_scan()
    )


def no_xml(path):
    write_readouts(path, "plain text", slice_scan())


def no_trajectory(path):
    write(path, encoding=point_encoding(MATRIX, FOV, trajectory="spiral"))


def external_link(path):
    write(path.with_name("other.h5"))
    with h5py.File(path, "w") as file:
        file["dataset"] = h5py.ExternalLink(str(path.with_name("other.h5")), "dataset")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_header, "has no header"),
        (zero_readouts, "holds no readouts"),
        (noise_alone, "none of 1 readouts is of an image"),
        (wrong_rank, "is not a list of readouts"),
        (short_readout, "readout 3 holds 32 samples, its header says 2 channels of 20"),
        (absurd_matrix, "declares k-space of .* damaged or hostile"),
        (impossible_matrix, "states a matrix of"),
        (mixed_channels, r"\[2, 3\] channels; one number is needed"),
        (wide_readouts, "readouts of 40 samples .* do not fit the 16 columns"),
        (entities, "XML entities"),
        (no_matrix, "no encoded matrix"),
        (no_xml, "not XML"),
        (no_trajectory, "a spiral scan whose readouts hold no trajectory"),
        (external_link, "not an ISMRMRD file"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path, spoil, message):
    path = tmp_path / "a.h5"
    spoil(path)
    with pytest.raises(FileFormatError, match=message) as caught:
        ISMRMRDReader().read(path)
    assert "\n" not in str(caught.value)
    assert Path(path).name in str(caught.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated_files(tmp_path, share):
    path = write(tmp_path / "a.h5")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FileFormatError, match="not a readable HDF5 file") as caught:
        ISMRMRDReader().read(path)
    assert "\n" not in str(caught.value)


def test_what_the_writer_refuses(tmp_path):
    data = torch.zeros(1, 2, 4, 6, dtype=torch.complex64)
    cases = {
        "not an image": recon.io.Image(data=torch.zeros(4, 6)),
        "operator 'fourier'": recon.io.Measurement(data=data, operator_config={"use": "nufft", "size": [4, 6]}),
        "changes along the last axis": recon.io.Measurement(
            data=data, operator_config={"use": "fourier", "mask": torch.arange(6) % 2 == 0}
        ),
        "mask is a rule": recon.io.Measurement(
            data=data, operator_config={"use": "fourier", "mask": {"kind": "random"}}
        ),
    }
    for message, item in cases.items():
        with pytest.raises(UsageError, match=message):
            recon.write(item, tmp_path / "a.mrd")
    assert list(tmp_path.iterdir()) == []
