"""Scans drawn at random: every voxel is where its file says, or the scan is refused; never anything between."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.errors import CodedFileError
from recon_datasets.dicom_series import DicomReader, write_slices

ROWS, COLUMNS = 3, 4
CORNERS = [(x, y) for y in (0, ROWS - 1) for x in (0, COLUMNS - 1)]
MARKS = ("TemporalPositionIdentifier", "AcquisitionNumber", "AcquisitionTime", "TriggerTime")
FAULTS = {
    "gap": ("GAP",),
    "aside": ("UNEVEN",),
    "turned": ("ORIENTATION",),
    "wider": ("GRID",),
    "twice": ("DUPLICATE", "UNEVEN-TIME"),
}
"""What becomes of one slice, and the refusals that are right."""


@dataclass(frozen=True)
class Drawn:
    """A scan: where its slices lie, how often, and in which disorder its files come."""

    turn: tuple[float, float, float, float]
    spacing: tuple[float, float]
    step: float
    origin: tuple[float, float, float]
    tilt: tuple[float, float]
    slices: int
    times: int
    mark: str
    echoes: int
    modality: str
    seed: int

    @property
    def directions(self) -> np.ndarray:
        """Row, column and normal, by the quaternion `turn`."""
        w, x, y, z = np.array(self.turn) / np.linalg.norm(self.turn)
        return np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)],
                [2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)],
                [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)],
            ]
        )

    def position(self, z: int) -> np.ndarray:
        row, column, normal = self.directions
        aside = np.tan(np.radians(self.tilt[0])) * row + np.tan(np.radians(self.tilt[1])) * column
        return np.round(np.array(self.origin) + z * self.step * (normal + aside), 6)

    def place(self, z: int, x: int, y: int) -> np.ndarray:
        """PS3.3 C.7.6.2.1.1, in RAS."""
        row, column, _ = self.directions
        lps = self.position(z) + row * self.spacing[1] * x + column * self.spacing[0] * y
        return np.array(lps * [-1, -1, 1])


number = st.floats(-1, 1, allow_subnormal=False)
angle = st.one_of(st.just(0.0), st.floats(-25, 25))


@st.composite
def scans(draw):
    modality = draw(st.sampled_from(["CT", "MR"]))
    slices = draw(st.integers(1, 6))
    return Drawn(
        turn=draw(st.tuples(number, number, number, number).filter(lambda q: np.linalg.norm(q) > 0.1)),
        spacing=(draw(st.floats(0.1, 5)), draw(st.floats(0.1, 5))),
        step=draw(st.sampled_from([-1.0, 1.0])) * draw(st.floats(0.3, 10)),
        origin=draw(st.tuples(*[st.floats(-700, 700)] * 3)),
        tilt=draw(st.tuples(angle, st.just(0.0)) | st.tuples(st.just(0.0), angle)) if modality == "CT" else (0.0, 0.0),
        slices=slices,
        times=draw(st.integers(1, 4)),
        mark=draw(st.sampled_from(MARKS)),
        echoes=draw(st.integers(1, 3)) if modality == "MR" else 1,
        modality=modality,
        seed=draw(st.integers(0, 2**16)),
    )


def write(scan: Drawn, folder: Path, fault: str = "") -> np.ndarray:
    """Write files in disorder; return the values (echo, time, z, y, x)."""
    random = np.random.default_rng(scan.seed)
    shape = scan.echoes, scan.times, scan.slices
    stored = random.integers(0, 4000, (*shape, ROWS, COLUMNS)).astype(np.int16)
    slopes = random.integers(1, 9, shape) / 4
    files = list(product(*map(range, shape)))
    victim = files[int(random.integers(len(files)))]
    if fault in ("gap", "aside", "turned", "wider"):
        victim = (*victim[:2], 1 + victim[2] % max(1, scan.slices - 2))  # neither the first nor the last slice
    order = random.permutation(len(files))
    instances, names = random.permutation(len(files)), random.permutation(len(files))
    row, column, _ = scan.directions

    def describe(dataset, at):
        echo, time, z = index = files[order[at]]
        hit = index == victim if fault == "twice" else (echo == victim[0] and z == victim[2])
        dataset.ImagePositionPatient = [float(v) for v in scan.position(z)]
        dataset.InstanceNumber = int(instances[at]) + 1
        dataset.RescaleSlope, dataset.RescaleIntercept = float(slopes[index]), -5.0
        if scan.echoes > 1:
            dataset.EchoTime = 2.5 + 3 * echo
        if scan.times > 1 or fault == "twice":
            setattr(dataset, scan.mark, f"1000{time:02d}" if scan.mark == "AcquisitionTime" else time + 1)
        if hit and fault == "aside":
            dataset.ImagePositionPatient = [float(v) for v in scan.position(z) + row * max(1.0, abs(scan.step))]
        if hit and fault == "wider":
            dataset.PixelSpacing = [scan.spacing[0] * 1.01, scan.spacing[1]]
        if hit and fault == "turned":
            dataset.ImageOrientationPatient = [*(float(v) for v in row), *(float(-v) for v in column)]

    values = np.array([stored[files[i]] for i in order])
    paths = write_slices(
        folder,
        values,
        orientation=[*row, *column],
        spacing=scan.spacing,
        modality=scan.modality,
        change=describe,
    )
    for path, at, name in zip(paths, order, names, strict=True):
        echo, _, z = files[at]
        path.rename(folder / f"{name:04d}")
        if fault == "gap" and echo == victim[0] and z == victim[2]:
            (folder / f"{name:04d}").unlink()
    if fault == "twice":
        again = int(np.flatnonzero(order == files.index(victim))[0])

        def as_before(dataset, _):
            describe(dataset, again)

        options = {"orientation": [*row, *column], "spacing": scan.spacing, "modality": scan.modality}
        write_slices(folder / "again", stored[victim][None] + 1, change=as_before, **options)
    return stored * slopes[..., None, None] - 5.0


def check(scan: Drawn, image, values: np.ndarray) -> None:
    """Compare an image with the values (time, z, y, x) of its files, by way of the patient."""
    data = image.data.numpy().reshape(scan.times, scan.slices, ROWS, COLUMNS)
    to_index = np.linalg.inv(image.affine)
    for z in range(scan.slices):
        found = []
        for x, y in CORNERS:
            index = (to_index @ [*scan.place(z, x, y), 1])[:3]
            whole = np.rint(index).astype(int)
            assert np.linalg.norm(image.affine[:3, :3] @ (index - whole)) < 2e-3
            assert tuple(whole[:2]) == (x, y)
            found.append(int(whole[2]))
        assert len(set(found)) == 1
        assert np.array_equal(data[:, found[0]], values[:, z].astype(np.float32))


def right(scan: Drawn) -> None:
    with TemporaryDirectory() as folder:
        values = write(scan, Path(folder))
        for echo in range(scan.echoes):
            image = DicomReader(stack=echo + 1 if scan.echoes > 1 else None).read(Path(folder))
            check(scan, image, values[echo])
            if scan.echoes > 1:
                assert image.metadata["echo_time_ms"] == 2.5 + 3 * echo
        if scan.echoes > 1:
            with pytest.raises(CodedFileError, match="RECON-DICOM-MIXED"):
                DicomReader().read(Path(folder))


def refused(scan: Drawn, fault: str) -> None:
    with TemporaryDirectory() as folder:
        write(scan, Path(folder), fault)
        with pytest.raises(CodedFileError) as error:
            DicomReader().read(Path(folder))
        assert error.value.code.removeprefix("RECON-DICOM-") in FAULTS[fault]


whole = scans()
of_one_echo = whole.filter(lambda scan: scan.slices >= 4).map(lambda scan: replace(scan, echoes=1))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(whole)
def test_every_voxel_is_at_its_place(scan):
    right(scan)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(of_one_echo, st.sampled_from(list(FAULTS)))
def test_one_fault_is_one_refusal(scan, fault):
    """A slice missing, moved, turned, of other pixels, or there twice with other values: no image comes of it."""
    refused(scan, fault)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(whole)
def test_every_voxel_is_at_its_place_at_length(scan):
    right(scan)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(of_one_echo, st.sampled_from(list(FAULTS)))
def test_one_fault_is_one_refusal_at_length(scan, fault):
    refused(scan, fault)


def test_the_comparison_sees_what_is_wrong(tmp_path):
    scan = Drawn((1, 0.2, 0, 0), (0.7, 0.9), 2.5, (1, 2, 3), (0, 0), 3, 2, MARKS[0], 1, "CT", 0)
    (values,) = write(scan, tmp_path)
    image = DicomReader().read(tmp_path)
    check(scan, image, values)
    moved = np.array(image.affine)
    moved[0, 3] += 0.01
    for wrong in (
        replace(image, affine=moved),
        replace(image, data=image.data.flip(0)),
        replace(image, data=image.data.flip(1)),
        replace(image, data=image.data.flip(3)),
    ):
        with pytest.raises(AssertionError):
            check(scan, wrong, values)
