"""Small cases for the conformance kit."""

from recon.testing import Example

__all__ = ["learned_primal_dual"]


def learned_primal_dual() -> list[Example]:
    """Build the published network with fewer iterations, and small ones: coils, checkpoints, a given norm."""
    radon = {"use": "radon", "size": [9, 8], "angles": 6}
    return [
        Example(
            name="two iterations",
            params={"iterations": 2},
            operator=radon,
            shape=(2, 1, 9, 8),
            parameter_count=50_644,
        ),
        Example(
            name="coils",
            params={"iterations": 2, "primal": 2, "dual": 3, "features": 4, "data_channels": 3, "complex": True},
            operator={"use": "multicoil_fourier", "maps": {"coils": 3}, "mask": [1, 0, 1, 1, 0, 1, 1]},
            shape=(2, 1, 6, 7),
            complex=True,
        ),
        Example(
            name="one memory, checkpoints",
            params={
                "iterations": 2,
                "primal": 1,
                "dual": 1,
                "features": 3,
                "scale": 0.02,
                "norm": 20.0,
                "checkpoint": True,
            },
            operator=radon,
            shape=(2, 1, 9, 8),
        ),
    ]
