"""What belongs together: series, echoes, volumes in time."""

from __future__ import annotations

import numpy as np

from .case import case
from .scan import MR, SLICES, STEP, VALUES, Scan, make


@case("AMBIGUOUS")
def two_series():
    scan = make()
    other = make(VALUES[:, ::-1], series="other", first=100)
    for dataset in other.slices:
        dataset.SeriesNumber = 2
    scan.slices += other.slices
    scan.extra = other.planes
    return scan


@case()
def localizer_inside():
    scan = make()
    localizer = make(VALUES[:1, ::-1], orientation=(1, 0, 0, 0, 0, -1), first=200).slices[0]
    localizer.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scan.slices.insert(0, localizer)
    return scan


@case("GRID", "AMBIGUOUS")
def two_matrix_sizes():
    scan = make(VALUES[:5])
    rest = make(VALUES[5:, :10, :14], heights=[n * STEP for n in range(5, SLICES)], first=5)
    scan.slices += rest.slices
    return scan


@case("MIXED", "AMBIGUOUS")
def two_echoes():
    scan, other = make(storage=MR), make(VALUES[:, ::-1], storage=MR, first=100)
    for dataset in scan.slices:
        dataset.EchoTime, dataset.EchoNumbers = 4.92, 1
    for dataset in other.slices:
        dataset.EchoTime, dataset.EchoNumbers = 7.38, 2
    scan.slices += other.slices
    scan.extra = other.planes
    return scan


@case("MIXED", "AMBIGUOUS")
def magnitude_and_phase():
    scan, other = make(storage=MR), make(VALUES[:, ::-1], storage=MR, first=100)
    for dataset in other.slices:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "P"]
    scan.slices += other.slices
    scan.extra = other.planes
    return scan


def _volumes(count, mark):
    scan = Scan([], [])
    for t in range(count):
        volume = make(np.roll(VALUES, t, axis=1), storage=MR, first=t * SLICES)
        for dataset in volume.slices:
            mark(dataset, t)
        scan.slices += volume.slices
        scan.planes += volume.planes
    return scan


@case()
def volumes_by_temporal_position():
    def mark(dataset, t):
        dataset.TemporalPositionIdentifier = t + 1

    return _volumes(3, mark)


@case(instance_matters=True)  # as measured, since tables of gradients go by that
def volumes_by_b_value():
    def mark(dataset, t):
        dataset.DiffusionBValue = [0.0, 500.0, 1000.0][t]

    return _volumes(3, mark)


@case(instance_matters=True)
def volumes_by_instance_number():
    return _volumes(3, lambda dataset, t: None)


@case("UNEVEN-TIME", "GAP", "DUPLICATE")
def last_volume_cut_short():
    def mark(dataset, t):
        dataset.TemporalPositionIdentifier = t + 1

    scan = _volumes(3, mark)
    del scan.slices[-5:]
    return scan
