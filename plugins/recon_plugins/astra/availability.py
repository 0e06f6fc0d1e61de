"""Which of ASTRA's kernels serve here."""

from __future__ import annotations

import importlib.metadata
import re

import torch

__all__ = ["OLDEST_WITH_CUDA", "in_use", "recent"]

OLDEST_WITH_CUDA = "2.4.1"
"""The first ASTRA that links every tensor of a GPU, and knows curved detectors."""


def recent(version: str) -> bool:
    """Whether a version of ASTRA serves tensors of a GPU."""
    found, oldest = ([int(part) for part in re.findall(r"\d+", text)[:3]] for text in (version, OLDEST_WITH_CUDA))
    return found >= oldest


def in_use() -> dict[str, str]:
    """Return what ``recon doctor`` tells; without importing ASTRA, which takes half a second."""
    try:
        version = importlib.metadata.version("astra-toolbox")
    except importlib.metadata.PackageNotFoundError:
        return {}
    needed = [] if torch.cuda.is_available() else ["CUDA"]
    needed += [] if recent(version) else [f"astra-toolbox>={OLDEST_WITH_CUDA}"]
    space = f"volumes need {' and '.join(needed)}" if needed else "images and volumes on CUDA"
    return {"CT projector, ASTRA": f"{version}: images on the processor, {space}"}
