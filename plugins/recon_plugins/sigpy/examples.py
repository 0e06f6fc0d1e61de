"""Small cases for the conformance kit."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from recon.testing import Example

__all__ = [
    "FFT",
    "NUFFT",
    "EspiritCalib",
    "FiniteDifference",
    "JsenseRecon",
    "L1WaveletRecon",
    "Sense",
    "SenseRecon",
    "TotalVariationRecon",
    "Wavelet",
]

POISSON = {"kind": "poisson", "acceleration": 1.8, "calibration": [8, 8]}
RADIAL = {"kind": "radial", "spokes": 30, "samples": 12}


def FFT() -> list[Example]:  # noqa: N802 - SigPy's names
    """Whole and undersampled, in the plane and in space."""
    mask = torch.rand(7, 10, generator=torch.Generator().manual_seed(0)) < 0.5
    return [
        Example(params={"size": [7, 10], "mask": mask}, shape=(2, 2, 7, 10), complex=True, name="plane"),
        Example(params={"size": [5, 6]}, shape=(2, 1, 5, 6), name="full, real image"),
        Example(params={"size": [3, 4, 5]}, shape=(2, 1, 3, 4, 5), complex=True, name="volume"),
        Example(params={"size": [32, 33], "mask": POISSON}, shape=(2, 1, 32, 33), complex=True, name="poisson"),
    ]


def NUFFT() -> list[Example]:  # noqa: N802
    """Trajectories by name and as numbers, in the plane and in space."""
    points = torch.rand(9, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 6 - 3
    return [
        Example(params={"size": [7, 8], "trajectory": points}, shape=(2, 2, 7, 8), complex=True, name="numbers"),
        Example(params={"size": [9, 8], "trajectory": {**RADIAL, "spokes": 4}}, shape=(2, 1, 9, 8), name="radial"),
        Example(
            params={"size": [6, 5, 7], "trajectory": {**RADIAL, "spokes": 5}, "width": 3.0},
            shape=(2, 1, 6, 5, 7),
            complex=True,
            name="volume",
        ),
    ]


def Sense() -> list[Example]:  # noqa: N802
    """Cartesian and along a trajectory."""
    maps = torch.randn(3, 8, 7, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([1, 0, 1, 1, 0, 1, 1])
    return [
        Example(params={"maps": maps, "mask": mask}, shape=(2, 1, 8, 7), complex=True, name="Cartesian"),
        Example(
            params={"maps": maps, "trajectory": {**RADIAL, "spokes": 4}},
            shape=(2, 1, 8, 7),
            complex=True,
            name="radial",
        ),
    ]


def Wavelet() -> list[Example]:  # noqa: N802
    """Several wavelets; real and complex."""
    return [
        Example(params={"size": [16, 18]}, shape=(2, 1, 16, 18), complex=True, name="db4"),
        Example(params={"size": [9, 12], "wavelet": "haar", "level": 2}, shape=(2, 2, 9, 12), name="haar"),
    ]


def FiniteDifference() -> list[Example]:  # noqa: N802
    """In the plane and in space."""
    return [
        Example(params={}, shape=(2, 2, 7, 10), complex=True, name="plane"),
        Example(params={"dimensions": 3}, shape=(2, 1, 3, 4, 5), name="volume"),
    ]


def SenseRecon() -> list[Example]:  # noqa: N802
    """Of recon's operators and of SigPy's."""
    return _apps({})


def L1WaveletRecon() -> list[Example]:  # noqa: N802
    """Of recon's operators and of SigPy's."""
    return _apps({"weight": 1e-4, "iterations": 40})


def TotalVariationRecon() -> list[Example]:  # noqa: N802
    """Of recon's operators and of SigPy's."""
    return _apps({"weight": 1e-4})


def EspiritCalib() -> list[Example]:  # noqa: N802
    """Whole and undersampled k-space."""
    columns = torch.zeros(25, dtype=torch.bool)
    columns[::2] = columns[7:18] = True
    return [
        Example(params={"iterations": 40}, operator="fourier", inputs=_maps, name="whole"),
        Example(params={"width": 11}, operator={"use": "fourier", "mask": columns}, inputs=_maps, name="undersampled"),
    ]


def JsenseRecon() -> list[Example]:  # noqa: N802
    """Whole k-space; the phase is the estimate's own, so that maps are compared with it in the tests."""
    return [Example(params={"kernel": 5}, operator="fourier", inputs=_maps, tolerance=2.0, name="whole")]


def _apps(params: Mapping[str, object]) -> list[Example]:
    columns = torch.ones(21, dtype=torch.bool)
    columns[1:6:2] = columns[16::2] = False
    multicoil = {"use": "multicoil_fourier", "maps": {"coils": 4}, "mask": columns}
    maps = _maps(torch.Generator(), torch.float64, 16, 18)["x"][0]
    return [
        Example(params=params, operator=multicoil, shape=(2, 1, 20, 21), complex=True, name="multicoil_fourier"),
        Example(
            params=params,
            operator={"use": "sigpy/Sense", "maps": maps, "trajectory": RADIAL},
            shape=(2, 1, 16, 18),
            complex=True,
            name="sigpy/Sense",
        ),
    ]


def _maps(
    generator: torch.Generator,  # noqa: ARG001
    dtype: torch.dtype,
    height: int = 24,
    width: int = 25,
) -> Mapping[str, Tensor]:
    """Return a batch of smooth periodic maps, the first coil's real."""
    y, x = (torch.arange(n, dtype=torch.float64) * (2 * math.pi / n) for n in (height, width))
    items = []
    for shift in (0.0, 0.7):
        u, v = (torch.polar(torch.ones_like(a), a + shift) for a in torch.meshgrid(y, x, indexing="ij"))
        coils = torch.stack([2 + 0.3 * u.real + 0j, 0.5 + 0.4 * u, 0.3 * v, 0.2j + 0.2 * v.conj() * u])
        items.append(coils / torch.linalg.vector_norm(coils, dim=0))
    return {"x": torch.stack(items).to(dtype.to_complex())}
