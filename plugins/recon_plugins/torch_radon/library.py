"""torch-radon's two interfaces behind one."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from recon.errors import UsageError

__all__ = ["Scanner", "in_line", "library", "scanner"]

MOST_ANGLES = 4096


class Scanner(Protocol):
    """What both interfaces offer, in units of a pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (N, H, W) -> (N, A, D)."""
        ...

    def backward(self, y: Tensor) -> Tensor:
        """Back-project. Shapes: y (N, A, D) -> (N, H, W)."""
        ...


@cache
def library() -> ModuleType:
    """Import torch-radon."""
    with warnings.catch_warnings():  # it resets the filters of the whole process
        if "turtle" not in sys.modules and importlib.util.find_spec("tkinter") is None:
            # One of its modules imports a name from turtle by mistake, which a Python without Tk cannot do.
            stub = ModuleType("turtle")
            stub.width = 1  # type: ignore[attr-defined]
            with _for_a_while("turtle", stub):
                return importlib.import_module("torch_radon")
        return importlib.import_module("torch_radon")


def scanner(geometry: Any, grid: Any) -> Scanner:
    """Return torch-radon's projector of a scan; lengths are told to it in pixels.

    Raises
    ------
    UsageError
        If torch-radon cannot describe the scan.
    """
    module = library()
    pixel = _pixel(geometry, grid)
    angles = np.asarray(geometry.angles, np.float32)
    fan = hasattr(geometry, "source_distance")
    spacing = geometry.bin_size / pixel
    distances = (geometry.source_distance / pixel, geometry.detector_distance / pixel) if fan else ()
    if hasattr(module, "ParallelBeam"):
        volume = module.Volume2D()
        volume.set_size(*grid.size)
        if fan:
            return _Second(module.FanBeam(geometry.bins, angles, *distances, spacing, volume))
        return _Second(module.ParallelBeam(geometry.bins, angles, spacing, volume))
    if grid.size[0] != grid.size[1]:
        raise UsageError(f"this torch_radon takes square images only, got {grid.size}: install carterbox-torch-radon")
    if fan:
        return _First(module.RadonFanbeam(grid.size[0], angles, *distances, geometry.bins, spacing))
    return _First(module.Radon(grid.size[0], angles, geometry.bins, spacing))


def _pixel(geometry: Any, grid: Any) -> float:
    """Edge of a pixel in mm, if torch-radon can describe the scan."""
    reasons = {
        "two-dimensional images": len(grid.size) == 2,
        "square pixels": grid.pixel[0] == grid.pixel[-1],
        "images about the centre of rotation": not any(grid.centre),
        "centred detectors": geometry.offset == 0 and getattr(geometry, "tilt", 0) == 0,
        "flat detectors": getattr(geometry, "detector", "flat") == "flat",
        f"at most {MOST_ANGLES} angles": len(geometry.angles) <= MOST_ANGLES,
    }
    for reason, met in reasons.items():
        if not met:
            raise UsageError(f"torch_radon takes {reason} only: take recon's own projector for this scan")
    return float(grid.pixel[0])


class _Second:
    """Version 2, and the fork on conda-forge."""

    def __init__(self, projection: Any) -> None:
        self._projection = projection

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self._projection.forward(x)
        return result

    def backward(self, y: Tensor) -> Tensor:
        result: Tensor = self._projection.backward(y)
        return result


class _First(_Second):
    """Version 1."""

    def backward(self, y: Tensor) -> Tensor:
        result: Tensor = self._projection.backprojection(y)
        return result


@contextlib.contextmanager
def in_line(device: torch.device) -> Iterator[None]:
    """Order torch-radon's kernels, which know the default stream alone, among those of the current stream."""
    if device.type != "cuda":
        yield
        return
    with torch.cuda.device(device):
        torch.cuda.current_stream().synchronize()
        default = torch.cuda.default_stream()
        with torch.cuda.stream(default):
            yield
        default.synchronize()


@contextlib.contextmanager
def _for_a_while(name: str, module: ModuleType) -> Iterator[None]:
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]
