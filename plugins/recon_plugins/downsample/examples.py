"""Small cases for the conformance kit."""

from recon.testing import Example


def downsample() -> list[Example]:
    """Both methods, in one to three dimensions, and sizes that the factor does not divide."""
    return [
        Example(params={"size": [6, 4], "factor": 2}, shape=(2, 3, 6, 4), name="average"),
        Example(params={"size": [9, 3], "factor": 3}, shape=(2, 1, 9, 3), complex=True, name="average, complex"),
        Example(params={"size": [4, 2, 6], "factor": 2}, shape=(2, 1, 4, 2, 6), name="average, volume"),
        Example(params={"size": [12, 9], "factor": 3, "method": "bicubic"}, shape=(2, 3, 12, 9), name="bicubic"),
        Example(
            params={"size": [7, 5], "factor": 2, "method": "bicubic"},
            shape=(2, 1, 7, 5),
            complex=True,
            name="bicubic, odd",
        ),
    ]
