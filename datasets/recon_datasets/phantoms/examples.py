"""Small cases for the conformance kit."""

from __future__ import annotations

from recon.testing import Example

__all__ = ["multicoil_phantom", "random_ellipses", "shepp_logan"]


def shepp_logan() -> list[Example]:
    """Return an odd and a non-square size."""
    return [
        Example(params={"size": (33, 33)}, name="odd"),
        Example(params={"size": (24, 40), "oversampling": 1, "scale": 0.02}, name="non-square"),
    ]


def random_ellipses() -> list[Example]:
    """Return an odd and a non-square size."""
    return [
        Example(params={"size": (33, 33), "count": 3}, name="odd"),
        Example(params={"size": (24, 40), "count": 3, "seed": 7, "ellipses": (0, 2)}, name="non-square"),
    ]


def multicoil_phantom() -> list[Example]:
    """Return both phantoms."""
    return [
        Example(params={"size": (33, 24), "count": 3, "coils": 3}, name="random ellipses"),
        Example(params={"size": (24, 33), "count": 2, "coils": 4, "phantom": "shepp_logan"}, name="Shepp-Logan"),
    ]
