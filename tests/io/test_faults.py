"""Series with one fault each: the image is right, or refused with a code; never silently wrong."""

import warnings

import numpy as np
import pytest
import torch

import recon
from recon.errors import CodedFileError

from .faults.catalogue import CASES
from .faults.comparison import compare
from .faults.scan import make

NOT_YET: dict[str, str] = {}
"""Cases that the reader does not meet, and why."""


def outcome(source):
    """An image, or the code of the refusal. Any other error, and any warning, is a fault of the reader's."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return recon.read(source)
        except CodedFileError as refusal:
            code, text = refusal.code, str(refusal)
    assert "\n" not in text
    assert "Nobody" not in text
    return code


def written(name, folder):
    case = CASES[name]
    if case.needs:
        pytest.importorskip(case.needs)
    scan = case.build()
    scan.save(folder)
    return case, scan


def named(names):
    return [
        pytest.param(name, marks=pytest.mark.xfail(reason=NOT_YET[name], raises=AssertionError))
        if name in NOT_YET
        else name
        for name in names
    ]


@pytest.mark.parametrize("name", named(CASES))
def test_right_or_refused(tmp_path, name):
    """And names and order of files, and instance numbers, change nothing."""
    case, scan = written(name, tmp_path / "scan")
    expected = outcome(tmp_path / "scan")
    if case.codes:
        assert expected in case.codes
    else:
        assert not isinstance(expected, str), expected
        assert compare(expected, scan.planes, case.tolerance) == ""
    generator = np.random.default_rng(11)
    order = generator.permutation(len(scan.slices))
    scan.slices = [scan.slices[i] for i in order]
    scan.cut = {int(np.flatnonzero(order == i)[0]): count for i, count in scan.cut.items()}
    scan.names = [f"{generator.bytes(6).hex()}.dcm" for _ in scan.slices]
    if not case.instance_matters:
        for dataset, number in zip(scan.slices, generator.permutation(len(scan.slices)), strict=True):
            dataset.InstanceNumber = int(number) + 1
    scan.save(tmp_path / "mutant")
    found = outcome(tmp_path / "mutant")
    if case.codes:
        assert found == expected
    else:
        assert not isinstance(found, str), found
        assert torch.equal(found.data, expected.data)
        assert np.array_equal(found.affine, expected.affine)


@pytest.mark.parametrize("name", ["two_series", "two_echoes", "magnitude_and_phase"])
def test_each_image_of_a_folder_can_be_chosen(tmp_path, name):
    _, scan = written(name, tmp_path)
    choice = "series" if name == "two_series" else "stack"
    for number, planes in enumerate((scan.planes, scan.extra), start=1):
        image = recon.read(tmp_path, reader={"use": "dicom_series", choice: number})
        assert compare(image, planes) == ""


def test_the_oracle_sees_what_is_wrong(tmp_path):
    """The comparison itself is no rubber stamp: a shifted plane, a turned one, and a wrong value are all seen."""
    scan = make()
    scan.save(tmp_path / "scan")
    image = recon.read(tmp_path / "scan")
    assert compare(image, scan.planes) == ""
    for wrong in (image.data.flip(0), image.data.flip(1), image.data.roll(1, 0), image.data + 1, image.data[1:]):
        assert compare(recon.Image(data=wrong, affine=image.affine), scan.planes)
    moved = np.array(image.affine)
    moved[0, 3] += 0.01
    assert compare(recon.Image(data=image.data, affine=moved), scan.planes)


def test_there_are_at_least_forty():
    assert len(CASES) >= 40
