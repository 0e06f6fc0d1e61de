"""Small cases for the conformance kit."""

from recon.testing import Example

__all__ = ["dncnn"]


def dncnn() -> list[Example]:
    """Build the published networks, and a small one on odd sizes."""
    return [
        Example(name="17 layers, grey", shape=(1, 1, 9, 8), parameter_count=556_096),
        Example(
            name="blind, colour, merged",
            params={"channels": 3, "layers": 20, "batch_norm": False},
            shape=(1, 3, 8, 7),
            parameter_count=668_227,
        ),
        Example(name="small", params={"channels": 2, "layers": 4, "features": 4}, shape=(3, 2, 11, 6)),
    ]
