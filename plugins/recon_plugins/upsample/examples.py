"""Small cases for the conformance kit."""

from recon.testing import Example


def upsample() -> list[Example]:
    """All methods, in one to three dimensions."""
    return [
        Example(params={"size": [3, 5], "factor": 2, "method": "nearest"}, shape=(2, 3, 3, 5), name="nearest"),
        Example(
            params={"size": [3, 2], "factor": 3, "method": "nearest"},
            shape=(2, 1, 3, 2),
            complex=True,
            name="nearest, complex",
        ),
        Example(
            params={"size": [5, 4], "factor": 3, "method": "bilinear"},
            shape=(2, 2, 5, 4),
            complex=True,
            name="bilinear",
        ),
        Example(params={"size": [5, 4], "factor": 2}, shape=(2, 3, 5, 4), name="bicubic"),
        Example(params={"size": [2, 3, 4], "factor": 2}, shape=(2, 1, 2, 3, 4), name="bicubic, volume"),
    ]
