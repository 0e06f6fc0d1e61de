"""Small scans for the conformance kit."""

from __future__ import annotations

from recon.testing import Example

__all__ = ["astra"]


def astra() -> list[Example]:
    """Each model, parallel beams and fans, complex images."""
    radon = {"use": "radon", "size": [9, 12], "angles": 5, "pixel": 0.7, "offset": 0.2}
    fan = {"use": "fan_beam", "size": [8, 8], "angles": 6, "source_distance": 20.0, "detector_distance": 15.0}
    tilted = {"angles": [0.0, 1.1, 2.9], "bins": 11, "bin_size": 1.3, "source_distance": 20.0, "detector_distance": 9.0}
    return [
        Example(params={"projector": radon}, shape=(2, 1, 9, 12), name="linear"),
        Example(params={"projector": radon, "model": "strip"}, shape=(2, 2, 9, 12), complex=True, name="complex"),
        Example(params={"projector": fan, "model": "line"}, shape=(2, 1, 8, 8), name="fan"),
        Example(params={"projector": fan, "model": "strip"}, shape=(2, 1, 8, 8), name="fan of strips"),
        Example(
            params={
                "projector": {
                    "use": "ray_transform",
                    "geometry": tilted | {"tilt": 0.2, "offset": 0.5},
                    "size": [7, 9],
                },
                "model": "line",
            },
            shape=(3, 1, 7, 9),
            name="tilted detector",
        ),
    ]
