"""Small cases for the conformance kit."""

from recon.testing import Example


def gaussian_noise() -> list[Example]:
    """Known and drawn sigma, real and complex."""
    return [
        Example(params={"sigma": 0.1}, shape=(2, 1, 5, 4), name="known sigma"),
        Example(params={"sigma": [0.0, 0.2]}, shape=(3, 2, 5), name="drawn sigma"),
        Example(params={"sigma": 0.1}, shape=(2, 3, 4, 5), complex=True, name="complex"),
    ]
