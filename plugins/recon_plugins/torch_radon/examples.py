"""Small scans for the conformance kit, which runs them on machines that have torch-radon."""

from __future__ import annotations

from recon.testing import Example

__all__ = ["torch_radon"]


def torch_radon() -> list[Example]:
    """Parallel beams and a fan."""
    radon = {"use": "radon", "size": [16, 16], "angles": 12, "pixel": 0.7}
    fan = {"use": "fan_beam", "size": [16, 16], "angles": 12, "source_distance": 40.0, "detector_distance": 20.0}
    return [
        Example(params={"projector": radon}, shape=(2, 1, 16, 16), name="parallel"),
        Example(params={"projector": fan}, shape=(2, 2, 16, 16), name="fan"),
    ]
