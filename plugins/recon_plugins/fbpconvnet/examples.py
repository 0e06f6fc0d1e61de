"""Small cases for the conformance kit."""

from recon.testing import Example

__all__ = ["fbpconvnet"]


def fbpconvnet() -> list[Example]:
    """Build small networks, on sizes that the poolings do not divide (the published one would take long)."""
    return [
        Example(
            name="odd sizes",
            params={"channels": 2, "features": 3, "levels": 2},
            shape=(2, 2, 13, 22),
            parameter_count=4_895,
        ),
        Example(name="one level", params={"features": 4, "levels": 1}, shape=(3, 1, 7, 5)),
        Example(name="four levels", params={"features": 2}, shape=(1, 1, 16, 33)),
    ]
