"""Checks of reconstruction methods."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recon.operators import LinearOperator
from recon.testing.case import Case, CheckError, equal, expect
from recon.testing.checks.operator import same_items

__all__ = ["METHOD", "smooth_image", "use"]


def use(case: Case) -> None:
    """Build the method and reconstruct once."""
    _, y, operator = _problem(case, torch.float32)
    _built(case)(y, operator)


def recovers(case: Case) -> None:
    """From noiseless data of a smooth image the result is within `tolerance` of it, in every precision."""
    for dtype in case.dtypes:
        x, y, operator = _problem(case, dtype)
        result = _built(case)(y, operator)
        expect(result.shape == x.shape, f"the result has shape {tuple(result.shape)}, the image {tuple(x.shape)}")
        expect(result.dtype in (dtype, dtype.to_complex()), f"{str(dtype)[6:]} data give {str(result.dtype)[6:]}")
        expect(bool(torch.isfinite(torch.view_as_real(result) if result.is_complex() else result).all()), "not finite")
        error = float(torch.linalg.vector_norm(result - x) / torch.linalg.vector_norm(x))
        limit = case.example.tolerance
        expect(error <= limit, f"relative error {error:.3g} on a smooth image, the example allows {limit:g}")


def zero(case: Case) -> None:
    """Zero data give a zero image, not NaN."""
    _, y, operator = _problem(case, torch.float32)
    result = _built(case)(torch.zeros_like(y), operator)
    expect(float(result.abs().max()) <= 1e-5, f"zero data give values up to {float(result.abs().max()):.3g}")


def batch_independent(case: Case) -> None:
    """An item's reconstruction depends neither on its neighbours nor on the size of the batch."""
    _, y, operator = _problem(case, case.dtype)
    method = _built(case)
    same_items(lambda y: method(y, operator), y, "result", case)


def deterministic(case: Case) -> None:
    """Two calls agree to the bit, of one instance and of two; the measurement stays as it was."""
    _, y, operator = _problem(case, torch.float32)
    before = y.clone()
    method = _built(case)
    one = method(y, operator)
    expect(torch.equal(y, before), "the method changes the measurement")
    expect(torch.equal(one, method(y, operator)), "two calls differ")
    equal(_built(case)(y, operator), one, 0.0, "two instances")


def smooth_image(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return a batch of smooth images: two Gaussian spots each, at other places in every item."""
    image = torch.zeros(shape, dtype=torch.float64)
    axes = [torch.linspace(-1, 1, n, dtype=torch.float64) for n in shape[2:]]
    grid = torch.meshgrid(*axes, indexing="ij")
    for item in range(shape[0]):
        for channel in range(shape[1]):
            for sign, width in ((1, 0.3), (-1, 0.2)):
                centre = sign * (0.2 + 0.05 * item + 0.02 * channel)
                distance = sum((axis - centre * (1 if k % 2 else 0.7)) ** 2 for k, axis in enumerate(grid))
                image[item, channel] += torch.exp(-distance / (2 * width**2))  # type: ignore[arg-type]
    return image.to(dtype)


def _built(case: Case) -> Any:
    return case.build(**case.prepared())


def _problem(case: Case, dtype: torch.dtype) -> tuple[Tensor, Tensor, LinearOperator]:
    operator = case.operator()
    given = case.inputs(dtype)
    if "x" in given:
        x = given["x"]
    else:
        shape = case.example.shape
        if shape is None:
            raise CheckError("the example gives no shape")
        x = smooth_image(shape, dtype.to_complex() if case.example.complex else dtype)
    return x, operator(x), operator


METHOD = (recovers, zero, batch_independent, deterministic)
