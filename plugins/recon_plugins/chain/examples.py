"""Small cases for the conformance kit."""

from recon.testing import Example

_FOURIER = {"use": "fourier", "dimensions": 2}
_MASK = {"use": "mask", "mask": [[1, 0, 1], [0, 1, 1]]}


def chain() -> list[Example]:
    """Return a chain, and one in a chain."""
    return [
        Example(params={"operators": [_FOURIER, _MASK]}, shape=(2, 1, 2, 3), complex=True, name="two"),
        Example(
            params={"operators": [{"use": "chain", "operators": [_MASK, _FOURIER]}, _MASK]},
            shape=(2, 1, 2, 3),
            complex=True,
            name="nested",
        ),
    ]
