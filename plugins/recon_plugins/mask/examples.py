"""Small cases for the conformance kit."""

import torch

from recon.testing import Example


def mask() -> list[Example]:
    """Nested lists for all channels, a tensor per channel, a volume."""
    per_channel = torch.arange(2 * 5 * 4).reshape(2, 5, 4) % 3 > 0
    return [
        Example(params={"mask": [[1, 0, 1], [0, 1, 1]]}, shape=(2, 3, 2, 3), name="nested lists"),
        Example(params={"mask": per_channel}, shape=(2, 2, 5, 4), complex=True, name="per channel"),
        Example(params={"mask": per_channel[None]}, shape=(2, 1, 2, 5, 4), name="volume"),
    ]


def random_mask() -> list[Example]:
    """Return an image and a volume."""
    return [
        Example(params={"size": [5, 4], "fraction": 0.4}, shape=(2, 3, 5, 4), name="image"),
        Example(
            params={"size": [3, 4, 5], "fraction": 0.5, "seed": 1}, shape=(2, 1, 3, 4, 5), complex=True, name="volume"
        ),
    ]


def box_mask() -> list[Example]:
    """Return a hole in the middle and one at a corner."""
    return [
        Example(params={"size": [5, 4], "box": [3, 2]}, shape=(2, 3, 5, 4), name="middle"),
        Example(
            params={"size": [5, 4], "box": [2, 2], "corner": [3, 0]}, shape=(2, 1, 5, 4), complex=True, name="corner"
        ),
    ]
