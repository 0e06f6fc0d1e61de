"""Small cases for the conformance kit."""

from recon.testing import Example


def grayscale() -> list[Example]:
    """Both standards."""
    return [
        Example(params={}, shape=(2, 3, 5, 4), name="BT.601"),
        Example(params={"standard": "bt709"}, shape=(3, 3, 4, 7), complex=True, name="BT.709"),
    ]
