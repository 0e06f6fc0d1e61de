"""Measurements that stay in their file, and their reconstruction part by part."""

import dataclasses

import numpy as np
import pytest
import torch

import recon
from recon import Measurement, reconstruction
from recon.errors import FileFormatError, UsageError
from recon.interfaces import Calibrated
from recon.io import deferred as module
from recon.io.deferred import Deferred, deferred
from recon.reconstruction import reconstruct, spans

ITEMS = torch.arange(5 * 2 * 3 * 4, dtype=torch.float32).reshape(5, 2, 3, 4)


class File:
    """Counts what is read of it."""

    def __init__(self, data=ITEMS):
        self.data = data
        self.reads = []

    def read(self, start, stop):
        self.reads.append((start, stop))
        return self.data[start:stop].clone()

    @property
    def held(self):
        return Deferred(tuple(self.data.shape), self.data.dtype, self.read)


def adjoint(y, operator):
    return operator.adjoint(y)


def test_looking_at_a_measurement_reads_nothing():
    file = File()
    measurement = Measurement(data=file.held, operator_config={"use": "fourier"}, calibration=torch.zeros(5, 2, 3, 4))
    assert measurement.shape == (5, 2, 3, 4)
    assert measurement.dtype == torch.float32
    assert "5 x 2 x 3 x 4, float32" in repr(measurement)
    assert file.reads == []


def test_items_read_no_others_and_data_are_read_once():
    file = File()
    measurement = Measurement(data=file.held)
    assert torch.equal(measurement.items(1, 3), ITEMS[1:3])
    assert file.reads == [(1, 3)]
    assert torch.equal(measurement.data, ITEMS)
    assert measurement.data is measurement.data
    assert torch.equal(measurement.items(4, 5), ITEMS[4:])
    assert file.reads == [(1, 3), (0, 5)]
    assert torch.equal(dataclasses.replace(measurement, notes=("x",)).data, ITEMS)


def test_data_are_still_needed_and_checked():
    with pytest.raises(TypeError, match="data"):
        Measurement()
    with pytest.raises(UsageError, match="channel or coil"):
        Measurement(data=Deferred((3, 4), torch.float32, File().read))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Measurement(data=ITEMS).data = ITEMS


def test_a_file_that_changed_is_told():
    file = File()
    measurement = Measurement(data=file.held)
    file.data = ITEMS[:, :1]
    with pytest.raises(FileFormatError, match="has it changed"):
        measurement.items(0, 2)
    file.data = ITEMS[:3]
    with pytest.raises(FileFormatError, match="has it changed"):
        _ = measurement.data


def test_small_data_are_read_at_once(monkeypatch):
    file = File()
    assert torch.equal(deferred(ITEMS.shape, torch.float32, file.read), ITEMS)
    monkeypatch.setattr(module, "AT_ONCE", 100)
    file.reads.clear()
    assert isinstance(deferred(ITEMS.shape, torch.float32, file.read), Deferred)
    assert file.reads == []


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (2 * 24 * 4, 2), (10**9, 5)])
def test_spans_cover_all_items(limit, expected, monkeypatch):
    monkeypatch.setattr(reconstruction, "PART_BYTES", limit)
    parts = spans(Measurement(data=ITEMS))
    assert max(stop - start for start, stop in parts) == expected
    assert [index for start, stop in parts for index in range(start, stop)] == list(range(5))
    assert spans(Measurement(data=ITEMS), most=3) == [
        (start, min(start + min(expected, 3), 5)) for start in range(0, 5, min(expected, 3))
    ]


def test_parts_give_what_the_whole_gives():
    file = File(torch.randn(5, 2, 6, 7, generator=torch.Generator().manual_seed(0), dtype=torch.complex64))
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    measurement = Measurement(
        data=file.held, operator_config={"use": "fourier"}, affine=affine, dims=("z", "y", "x"), crop=(4, 5)
    )
    image = reconstruct(measurement, adjoint, parts=[(0, 2), (2, 4), (4, 5)], note="made by the adjoint")
    assert file.reads == [(0, 2), (2, 4), (4, 5)]
    whole = measurement.image(recon.build("operator", "fourier").adjoint(file.data).abs())
    assert torch.allclose(image.data, whole.data)
    assert image.dims == ("channel", "z", "y", "x")
    assert image.shape == (2, 5, 4, 5)
    assert (image.affine == affine).all()
    assert image.notes == ("made by the adjoint",)
    kept = reconstruct(measurement, adjoint, keep_complex=True)
    assert torch.allclose(kept.data.abs(), image.data, atol=1e-6)
    assert kept.data.is_complex()


def test_arguments_per_item_go_with_the_items():
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(5, 1, 6, 7, generator=generator) < 0.5
    maps = torch.randn(5, 2, 6, 7, generator=generator, dtype=torch.complex64)
    y = torch.randn(5, 2, 6, 7, generator=generator, dtype=torch.complex64)
    measurement = Measurement(data=y, operator_config={"use": "multicoil_fourier", "mask": mask, "maps": maps})
    parts = reconstruct(measurement, adjoint, parts=[(0, 1), (1, 3), (3, 5)], keep_complex=True)
    assert torch.allclose(parts.data, measurement.operator().adjoint(y)[:, 0], atol=1e-6)
    # Shared arguments whose first axis happens to be as long as the batch are left alone.
    coils = Measurement(data=y[:2], operator_config={"use": "multicoil_fourier", "mask": mask[0, 0], "maps": maps[0]})
    parts = reconstruct(coils, adjoint, parts=[(0, 1), (1, 2)], keep_complex=True)
    assert torch.allclose(parts.data, coils.operator().adjoint(y[:2])[:, 0], atol=1e-6)


class FromCalibration:
    """Gives back its calibration data."""

    def __init__(self, data=None):
        self.data = data

    def with_calibration(self, data):
        return FromCalibration(data)

    def __call__(self, y, operator):
        assert self.data.shape == y.shape
        return self.data[:, :1]


def test_calibration_goes_with_the_items():
    assert isinstance(FromCalibration(), Calibrated)
    calibration = ITEMS + 1
    measurement = Measurement(data=ITEMS, operator_config={"use": "fourier"}, calibration=calibration)
    image = reconstruct(measurement, FromCalibration(), parts=[(0, 3), (3, 5)])
    assert torch.equal(image.data, calibration[:, 0])
    without = dataclasses.replace(measurement, calibration=None)
    assert torch.equal(reconstruct(without, lambda y, _: y[:, :1]).data, ITEMS[:, 0])


def test_what_does_not_fit_is_refused():
    y = torch.zeros(3, 1, 6, 7)
    with pytest.raises(UsageError, match=r"the shape \(1, 6, 7\) an item, the operator measures \(any, any, 8\)"):
        reconstruct(Measurement(data=y), adjoint, recon.build("operator", "fourier", mask=torch.ones(8)))
    y[2, 0, 1, 2] = torch.nan
    measurement = Measurement(data=y, operator_config={"use": "fourier"})
    with pytest.raises(UsageError, match="1 measured values of item 2 are not finite"):
        reconstruct(measurement, adjoint, parts=[(0, 1), (1, 2), (2, 3)])
    with pytest.raises(UsageError, match="of items 0 to 2"):
        reconstruct(measurement, adjoint)
    y = torch.full((1, 1, 6, 7), 3e38)  # finite, though their sum is not
    assert reconstruct(Measurement(data=y), lambda y, _: y / 3e38).data.sum() == 42
    with pytest.raises(UsageError, match="holds nothing to reconstruct"):
        reconstruct(Measurement(data=y[:0]), adjoint, recon.build("operator", "fourier"))
