"""Which code projects: compiled kernels where there are some, sparse matrices everywhere."""

from __future__ import annotations

import importlib
import importlib.util
import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import torch

from recon.errors import UsageError

if TYPE_CHECKING:
    from recon_plugins.radon.lanes import LanesProjector
    from recon_plugins.radon.triton_projector import TritonProjector

__all__ = ["Backend", "Choice", "choose", "in_use", "lanes_projector", "triton_projector"]

Backend = Literal["auto", "sparse", "numba", "triton"]
NUMBA_MISSING = "numba is not installed: pip install 'recon-toolkit[numba]'"
TRITON_MISSING = "triton is not installed: pip install 'recon-toolkit[triton]'"
RAY_KERNELS = "recon_plugins.radon.lanes"
NUMBA_FOLDER = "numba finds no folder to keep compiled code in: set NUMBA_CACHE_DIR to a writable one"


@dataclass(frozen=True)
class Choice:
    """A backend, and why it serves."""

    name: Literal["sparse", "numba", "triton"]
    why: str


def choose(
    backend: Backend,
    dtype: torch.dtype,
    device: torch.device,
    *,
    installed_only: bool = False,
    precisions: tuple[torch.dtype, ...] = (torch.float32,),
    kernels: str = "recon_plugins.radon.pixel_kernels",
) -> Choice:
    """Choose the backend for a precision on a device.

    Parameters
    ----------
    backend
        ``auto``, or the name of one.
    dtype, device
        Of the images.
    installed_only
        Look only at whether the packages are there; import nothing heavy.
    precisions
        Those that the compiled kernels compute in.
    kernels
        Module that holds them, or uses them: numba may find no folder for its cache when that is imported.

    Raises
    ------
    UsageError
        If a backend that was asked for by name is not installed, or Triton is asked for and the images are not on CUDA.
    """
    if backend == "sparse":
        return Choice("sparse", "asked for")
    if backend == "triton" or (backend == "auto" and device.type == "cuda"):
        return _choose_triton(backend, device, installed_only)
    if not _has_numba():
        if backend == "numba":
            raise UsageError(f"backend 'numba': {NUMBA_MISSING}, or take backend 'auto'")
        return Choice("sparse", NUMBA_MISSING)
    if dtype not in precisions or device.type != "cpu":
        return Choice("sparse", f"no compiled kernels for {str(dtype)[6:]} on {device.type}")
    if not installed_only and not _imports(kernels):
        if backend == "numba":
            raise UsageError(NUMBA_FOLDER)
        return Choice("sparse", NUMBA_FOLDER)
    return Choice("numba", f"compiled kernels for {str(dtype)[6:]} on the CPU")


def in_use() -> dict[str, str]:
    """Return for each device here, by name, the projector that float32 images get, and why."""
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    lines = {}
    for device in devices:
        choice = choose("auto", torch.float32, torch.device(device), installed_only=True)
        lines[f"CT projector, {device}"] = f"{choice.name}: {choice.why}" + (
            _vectors() if choice.name == "numba" else ""
        )
    return lines


def _vectors() -> str:
    from recon_plugins.radon.machine import has_feature

    if has_feature("avx2"):
        return ", with AVX2"
    return ", without AVX2: single images of scans without symmetry take longer"


def _choose_triton(backend: Backend, device: torch.device, installed_only: bool) -> Choice:
    if importlib.util.find_spec("triton") is None:
        if backend == "triton":
            raise UsageError(f"backend 'triton': {TRITON_MISSING}, or take backend 'auto'")
        return Choice("sparse", TRITON_MISSING)
    if device.type != "cuda" and not installed_only and os.environ.get("TRITON_INTERPRET") != "1":
        raise UsageError(
            f"backend 'triton' serves images on CUDA, not on {device.type}: move them, or take backend 'auto'"
        )
    return Choice("triton", "Triton kernels on CUDA")


def triton_projector() -> type[TritonProjector]:
    """Return the projector of Triton kernels; only after `choose` said triton."""
    from recon_plugins.radon.triton_projector import TritonProjector

    return TritonProjector


def lanes_projector() -> type[LanesProjector]:
    """Return the projector of compiled kernels; only after `choose` said numba."""
    from recon_plugins.radon.lanes import LanesProjector

    return LanesProjector


@cache
def _imports(kernels: str) -> bool:
    """Import compiled kernels, and say whether numba found a folder for its cache (RuntimeError if not)."""
    try:
        importlib.import_module(kernels)
    except (ImportError, RuntimeError):
        return False
    return True


def _has_numba() -> bool:
    return importlib.util.find_spec("numba") is not None
