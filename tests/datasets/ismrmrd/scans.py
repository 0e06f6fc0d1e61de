"""Small synthetic scans: a bright point seen by two coils, and noise."""

import numpy as np

from recon.io.raw.readouts import HEAD, Readouts
from recon.kspace import root_sum_of_squares
from recon_datasets.ismrmrd.synthetic import point_encoding, point_readouts, write_points

MATRIX, FOV = (16, 12, 1), (80.0, 72.0, 4.0)  # voxels of 5 x 6 x 4 mm
POINT = [[10.0, -12.0, 0.0]]


def joined(*parts: Readouts) -> Readouts:
    trajectory = None if parts[0].trajectory is None else [t for part in parts for t in part.trajectory]
    return Readouts(np.concatenate([p.head for p in parts]), [d for p in parts for d in p.data], trajectory)


def flag(readouts: Readouts, *numbers: int) -> Readouts:
    readouts.head["flags"] |= np.uint64(sum(1 << (number - 1) for number in numbers))
    return readouts


def slice_scan(**changes):
    return point_readouts(POINT, **{"matrix": MATRIX, "fov": FOV, **changes})


def write(path, readouts=None, encoding=None, **more):
    write_points(path, slice_scan() if readouts is None else readouts, encoding or point_encoding(MATRIX, FOV), **more)
    return path


def magnitude(measurement):
    """Reconstruct by the adjoint and root sum of squares, as an image in its place."""
    return measurement.image(root_sum_of_squares(measurement.operator().adjoint(measurement.data)))


def peak(image) -> np.ndarray:
    """Return where the brightest voxel lies, in RAS."""
    index = np.unravel_index(int(image.data.abs().argmax()), image.data.shape)[::-1]
    return (image.affine @ [*index, *[0] * (3 - len(index)), 1])[:3]


def noise(channels=2, samples=4000, seed=0, mix=None):
    random = np.random.default_rng(seed)
    values = random.standard_normal((2, channels, samples)) / 2**0.5
    data = (np.eye(channels) if mix is None else mix) @ (values[0] + 1j * values[1])
    head = np.zeros(1, dtype=HEAD)
    head["number_of_samples"], head["active_channels"], head["sample_time_us"] = samples, channels, 10.0
    return flag(Readouts(head, [data.astype(np.complex64)]), 19)
