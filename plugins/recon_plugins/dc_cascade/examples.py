"""Small cases for the conformance kit."""

from recon.testing import Example

__all__ = ["dc_cascade"]


def dc_cascade() -> list[Example]:
    """One coil, coils with a learned weight and checkpoints, a volume as magnitude."""
    small = {"cascades": 2, "convolutions": 3, "features": 4}
    columns = [1, 0, 1, 1, 0, 1, 1]
    return [
        Example(
            params={"cascades": 5, "convolutions": 6, "features": 48},
            operator={"use": "fourier", "mask": columns},
            shape=(2, 1, 8, 7),
            complex=True,
            parameter_count=424_570,
            name="as published for fastMRI",
        ),
        Example(
            params={**small, "consistency": "learned", "checkpoint": True, "crop": [5, 7]},
            operator={"use": "multicoil_fourier", "maps": {"coils": 3}, "mask": columns},
            shape=(2, 1, 6, 7),
            complex=True,
            name="coils",
        ),
        Example(
            params={**small, "dims": 3, "output": "magnitude", "scale": 2.0},
            operator={"use": "fourier", "mask": columns, "dimensions": 3},
            shape=(2, 1, 4, 5, 7),
            complex=True,
            name="volume",
        ),
    ]
