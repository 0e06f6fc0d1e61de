"""Small cases for the conformance kit."""

from recon.testing import Example

__all__ = ["unet"]


def unet() -> list[Example]:
    """Build the published network, and small ones of each dimension on odd sizes."""
    return [
        Example(name="32 channels", shape=(1, 1, 32, 16), parameter_count=7_756_097),
        Example(
            name="odd sizes",
            params={"in_channels": 2, "out_channels": 2, "chans": 4, "num_pool_layers": 2},
            shape=(2, 2, 13, 22),
        ),
        Example(name="1d", params={"chans": 3, "num_pool_layers": 2, "dims": 1}, shape=(2, 1, 19)),
        Example(name="3d", params={"chans": 2, "num_pool_layers": 1, "dims": 3}, shape=(2, 1, 5, 6, 7)),
    ]
