"""Small cases for the conformance kit."""

from recon.testing import Example

__all__ = ["srcnn"]


def srcnn() -> list[Example]:
    """Build the published networks, and one with another padding and colours."""
    return [
        Example(name="9-1-5", shape=(2, 1, 11, 14), parameter_count=8_129),
        Example(name="9-3-5", params={"kernels": [9, 3, 5]}, shape=(1, 1, 9, 13), parameter_count=24_513),
        Example(name="9-5-5", params={"kernels": [9, 5, 5]}, shape=(1, 1, 12, 9), parameter_count=57_281),
        Example(
            name="colour, zeros beyond the border",
            params={"channels": 3, "features": [4, 3], "padding_mode": "zeros"},
            shape=(2, 3, 7, 9),
        ),
    ]
