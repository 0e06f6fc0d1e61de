"""A measurement to an image, part by part: what lies in a file is never all in memory at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.interfaces import Calibrated
from recon.io import Image, Measurement
from recon.operators.base import Operator, fits

__all__ = ["check_fit", "reconstruct", "spans"]

PART_BYTES = 2**26
"""Data that go through an operator or a method at once."""


def reconstruct(
    measurement: Measurement,
    method: Callable[[Tensor, Any], Tensor],
    operator: Operator | None = None,
    *,
    parts: Iterable[tuple[int, int]] | None = None,
    device: torch.device | str = "cpu",
    keep_complex: bool = False,
    note: str | None = None,
) -> Image:
    """Reconstruct all items of a measurement, a few at a time, into one image with its geometry.

    Where the measurement brings calibration data, a method that is `Calibrated` takes them from there, item by item.
    Arguments that an operator has for each item (masks, sensitivities) go with the items.

    Parameters
    ----------
    measurement
        What was measured. Data that are still in their file are read part by part.
    method
        Called with the data of a part and the operator.
    operator
        The operator; that of the measurement by default, and None for networks that work on the measurement alone.
    parts
        First item and the one past the last of each part, in order; by default `spans` of the measurement. An iterator
        that also shows progress may be given.
    device
        Where to compute; the image is on the CPU.
    keep_complex
        Whether complex images stay so; else the magnitude is kept.
    note
        Sentence for the notes of the image.

    Raises
    ------
    UsageError
        If data and operator do not fit, or a value is NaN or infinite.
    """
    if operator is None and measurement.operator_config is not None:
        operator = measurement.operator()
    check_fit(measurement, operator)
    noiseless = None if operator is None else operator.noiseless.to(device)
    result: Tensor | None = None
    with torch.no_grad():
        for start, stop in spans(measurement) if parts is None else parts:
            y = measurement.items(start, stop)
            _check_finite(y, start, stop)
            chosen = method
            if measurement.calibration is not None and isinstance(method, Calibrated):
                chosen = method.with_calibration(measurement.calibration[start:stop].to(device))
            x = chosen(y.to(device), _of_items(noiseless, measurement.shape, start, stop))
            x = x if keep_complex or not x.is_complex() else x.abs()
            if result is None:
                result = torch.empty(measurement.shape[0], *x.shape[1:], dtype=x.dtype)
            result[start:stop] = x
    if result is None:
        raise UsageError(f"a measurement of shape {measurement.shape} holds nothing to reconstruct")
    return measurement.image(result, note=note)


def spans(measurement: Measurement, most: int = 16) -> list[tuple[int, int]]:
    """Cut the items of a measurement into parts of at most so many and 64 MiB, at least one item each."""
    count, *item = measurement.shape
    fitting = PART_BYTES // max(1, torch.Size(item).numel() * measurement.dtype.itemsize)
    step = max(1, min(most, fitting))
    return [(start, min(start + step, count)) for start in range(0, count, step)]


def check_fit(measurement: Measurement, operator: Operator | None) -> None:
    """Refuse a measurement of another shape than the operator's.

    Raises
    ------
    UsageError
        With both shapes.
    """
    shape = measurement.shape[1:]
    if operator is not None and not fits(shape, operator.output_shape):
        wanted = ", ".join("any" if n is None else str(n) for n in operator.output_shape or ())
        raise UsageError(
            f"the data have the shape {shape} an item, the operator measures ({wanted}): are they of another scan?"
        )


def _check_finite(y: Tensor, start: int, stop: int) -> None:
    if bool(y.sum().isfinite()):  # a tenth of the time of looking at each value
        return
    bad = int((~y.isfinite()).sum())
    if bad:  # a sum may overflow where no value is odd
        where = f"item {start}" if stop == start + 1 else f"items {start} to {stop - 1}"
        raise UsageError(f"{bad} measured values of {where} are not finite (NaN or infinite): correct them first")


def _of_items(operator: Operator | None, shape: tuple[int, ...], start: int, stop: int) -> Operator | None:
    """Return the operator of some items: an argument per item has the batch as its first axis, and no axis less."""
    if operator is None or stop - start == shape[0]:
        return operator
    own = {name: getattr(operator, name, None) for name in operator.per_item}
    narrowed = {
        name: value[start:stop]
        for name, value in own.items()
        if isinstance(value, Tensor) and value.ndim >= len(shape) and len(value) == shape[0]
    }
    return operator.with_(**narrowed) if narrowed else operator
