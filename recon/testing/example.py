"""Small cases that a component brings along for the conformance kit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Example"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One small case of a component. Give two or three: an odd size, a non-square one, a batch of two or more.

    Parameters
    ----------
    params
        Parameters of the constructor, as a config would give them; tensors are allowed.
    shape
        Shape of the input with its batch axis: an operator's or model's image, a loss's or metric's prediction, the
        image that a method is to reconstruct.
    complex
        Whether that input is complex.
    inputs
        For losses, metrics and models whose inputs are not plain normal noise: called with a generator and a real
        dtype, returns the keyword arguments of ``forward``.
    operator
        Config of the operator that a method, an operator model or a measurement loss works with.
    prepare
        For datasets, methods, readers and writers: called with an empty folder, makes the files that the case needs and
        returns further constructor parameters (datasets, methods), ``{"path": file}`` (readers) or ``{"image": image or
        measurement}`` (writers of formats that cannot hold every image of `shape`).
    parameter_count
        Number of trainable parameters that a published network has.
    tolerance
        For methods: largest accepted |x - x_true| / |x_true| on a smooth image from noiseless data.
    name
        Label in reports.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None
    complex: bool = False
    inputs: Callable[[torch.Generator, torch.dtype], Mapping[str, Tensor]] | None = None
    operator: Mapping[str, Any] | str | None = None
    prepare: Callable[[Path], Mapping[str, Any]] | None = None
    parameter_count: int | None = None
    tolerance: float = 0.2
    name: str = ""
