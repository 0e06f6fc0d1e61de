"""Small cases for the conformance kit."""

from typing import Any

from recon.testing import Example

__all__ = ["modl"]


def _residual(channels: int) -> dict[str, Any]:
    network = {"use": "dncnn", "channels": channels, "layers": 3, "features": 4, "batch_norm": False}
    return network if channels == 1 else {"use": "complex_channels", "model": network}


def modl() -> list[Example]:
    """Coils with sensitivities, one coil as magnitude with checkpoints, rays."""
    columns = [1, 0, 1, 1, 0, 1, 1]
    return [
        Example(
            params={"model": _residual(2), "iterations": 2, "cg_iterations": 6},
            operator={"use": "multicoil_fourier", "maps": {"coils": 3}, "mask": columns},
            shape=(2, 1, 6, 7),
            complex=True,
            name="coils",
        ),
        Example(
            params={"model": _residual(2), "iterations": 2, "output": "magnitude", "crop": [5, 9], "checkpoint": True},
            operator={"use": "fourier", "mask": columns},
            shape=(2, 1, 8, 7),
            complex=True,
            name="one coil, magnitude, crop, checkpoints",
        ),
        Example(
            params={"model": _residual(1), "iterations": 2, "weight": 3.0},
            operator={"use": "radon", "size": [9, 8], "angles": 6},
            shape=(2, 1, 9, 8),
            name="rays",
        ),
    ]
