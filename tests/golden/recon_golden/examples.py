"""Small cases."""

from pathlib import Path

from recon.testing import Example


def images():
    return [
        Example(shape=(2, 1, 5, 7), name="odd"),
        Example(shape=(3, 2, 4, 3)),
    ]


def noise():
    return [Example(params={"amplitude": 0.5}, shape=(2, 1, 5, 7))]


def bias():
    return [
        Example(shape=(2, 1, 5, 7), parameter_count=1),
        Example(params={"noise": {"use": "golden/noise", "amplitude": 0.1}}, shape=(2, 1, 5, 7)),
    ]


def with_operator():
    return [Example(shape=(2, 1, 5, 7), operator={"use": "golden/double", "factor": 3.0}, tolerance=1e-5)]


def ramps():
    return [Example(params={"count": 3})]


def write_bytes_file(folder: Path):
    path = folder / "image.goldenbytes"
    path.write_bytes(b"GOLDEN" + bytes([3]) + bytes(range(9)))
    return {"path": path}


def bytes_file():
    return [Example(prepare=write_bytes_file)]


def square_image():
    return [Example(shape=(4, 4))]
