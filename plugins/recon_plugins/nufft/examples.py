"""Small cases of the non-Cartesian operators and methods for the conformance kit."""

from __future__ import annotations

import torch

from recon.testing import Example

__all__ = ["density_cg", "gridding", "nufft", "off_resonance"]


def nufft() -> list[Example]:
    """Given and made trajectories in the plane and in space; coil images, maps, sets of maps, a frame; convolution."""
    generator = torch.Generator().manual_seed(0)
    plane = (torch.rand(3, 11, 2, dtype=torch.float64, generator=generator) - 0.5) * torch.tensor([9.0, 10.0])
    frames = torch.rand(1, 25, 2, dtype=torch.float64, generator=generator) - 0.5
    maps = torch.randn(1, 2, 3, 9, 10, dtype=torch.complex128, generator=generator)
    koosh = {"kind": "kooshball", "spokes": 9, "samples": 12}
    spiral = {"kind": "spiral", "interleaves": 3, "samples": 40}
    radial = {"kind": "radial", "spokes": 7, "angles": "golden"}
    exact = {"eps": 1e-12, "toeplitz": True}
    per_frame = {"unit": "cycles_per_pixel", "frames": True, "toeplitz": False}
    return [
        Example(
            params={"size": [9, 10], "trajectory": plane, "toeplitz": False},
            shape=(2, 3, 9, 10),
            complex=True,
            name="coil images",
        ),
        Example(
            params={"size": [9, 10], "trajectory": plane, "maps": maps[0, 0], **exact},
            shape=(2, 1, 9, 10),
            name="maps, convolution, real image",
        ),
        Example(
            params={"size": [9, 10], "trajectory": spiral, "maps": maps, "toeplitz": False},
            shape=(2, 2, 9, 10),
            complex=True,
            name="sets of maps, spiral",
        ),
        Example(
            params={"size": [7, 8], "trajectory": radial, "maps": {"coils": 4}, "toeplitz": False},
            shape=(2, 1, 7, 8),
            complex=True,
            name="simulated maps, radial",
        ),
        Example(
            params={"size": [5, 6, 8], "trajectory": koosh, **exact},
            shape=(2, 1, 5, 6, 8),
            complex=True,
            name="volume, convolution",
        ),
        Example(
            params={"size": [8, 7], "trajectory": frames, **per_frame},
            shape=(2, 2, 8, 7),
            complex=True,
            name="one frame",
        ),
    ]


def off_resonance() -> list[Example]:
    """Least squares and histogram, few segments and as many as needed."""
    generator = torch.Generator().manual_seed(0)
    field = 60 * torch.rand(9, 8, dtype=torch.float64, generator=generator) - 20
    inner = {"use": "nufft", "size": [9, 8], "trajectory": {"kind": "radial", "spokes": 5}, "toeplitz": False}
    times = torch.arange(18, dtype=torch.float64) * 5e-4
    base = {"field_map": field, "times": times}
    return [
        Example(
            params={"nufft": inner, **base, "segments": 3, "interpolation": "least_squares"},
            shape=(2, 2, 9, 8),
            complex=True,
            name="three segments",
        ),
        Example(
            params={"nufft": inner | {"maps": {"coils": 3}}, **base},
            shape=(2, 1, 9, 8),
            name="coils, real image",
        ),
    ]


_RADIAL = {"use": "nufft", "size": [24, 25], "trajectory": {"kind": "radial", "spokes": 41}, "toeplitz": False}
_SPIRAL = {"use": "nufft", "size": [24, 25], "trajectory": {"kind": "spiral", "interleaves": 8, "samples": 150}}


def gridding() -> list[Example]:
    """Pipe and Menon, Voronoi, coils with maps and without."""
    maps = {"maps": {"coils": 4}}
    shape = (2, 1, 24, 25)
    return [
        Example(operator=_RADIAL | maps, shape=shape, complex=True, tolerance=0.02, name="pipe, maps"),
        Example(params={"density": "voronoi"}, operator=_SPIRAL, shape=shape, tolerance=0.06, name="voronoi, spiral"),
    ]


def density_cg() -> list[Example]:
    """Few steps with weights, and more without."""
    maps, shape = {"maps": {"coils": 4}}, (2, 1, 24, 25)
    return [
        Example(operator=_RADIAL | maps, shape=shape, complex=True, tolerance=0.005, name="pipe, maps"),
        Example(
            params={"density": "none", "iterations": 30, "damping": 1e-4},
            operator=_SPIRAL,
            shape=shape,
            tolerance=0.01,
            name="no weights, spiral",
        ),
    ]
