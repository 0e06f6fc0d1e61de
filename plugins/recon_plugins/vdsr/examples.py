"""Small cases for the conformance kit."""

from recon.testing import Example

__all__ = ["vdsr"]


def vdsr() -> list[Example]:
    """Build the published network, and small ones with and without biases."""
    return [
        Example(name="20 layers", shape=(1, 1, 9, 8), parameter_count=665_921),
        Example(name="small", params={"channels": 2, "layers": 3, "features": 4}, shape=(3, 2, 5, 8)),
        Example(name="without biases", params={"layers": 3, "features": 3, "bias": False}, shape=(2, 1, 8, 7)),
    ]
