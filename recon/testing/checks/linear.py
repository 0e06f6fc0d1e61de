"""Checks of linear operators."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.operators import LinearOperator
from recon.testing.case import Case, describe, equal, expect

__all__ = ["LINEAR", "dot_gap"]

_DOT = {torch.float32: 1e-6, torch.float64: 1e-12}
_RTOL = {torch.float32: 1e-5, torch.float64: 1e-10}


def dot_gap(operator: LinearOperator, x: Tensor, y: Tensor) -> float:
    """Return |<A x, y> - <x, A^H y>| / (|A x| |y|), computed in double precision.

    A map of real images to complex data is linear over the reals alone if its adjoint gives real images; then the
    real parts are compared.
    """
    ax, ahy = operator(x), operator.adjoint(y)
    left, right = _inner(ax, y), _inner(x, ahy)
    scale = _norm(ax) * _norm(y)
    expect(scale > 0, "A x or y is zero: the example shows nothing")
    difference = left - right if x.is_complex() or ahy.is_complex() or not y.is_complex() else (left - right).real
    return float(difference.abs()) / scale


def adjoint(case: Case) -> None:
    """|<A x, y> - <x, A^H y>| / (|A x| |y|) is at most 1e-6 in float32 and 1e-12 in float64, or `adjoint_rtol`."""
    operator = case.build()
    for dtype in case.dtypes:
        limit = max(case.entry.component.adjoint_rtol or 0.0, _DOT.get(dtype, 1e-2))
        for seed in range(3):
            x, y = _pair(case, operator, dtype, seed)
            value = dot_gap(operator, x, y)
            expect(value <= limit, f"{str(dtype)[6:]}: dot-test gap {value:.2g}, at most {limit:.2g} is right")


def adjoint_shape(case: Case) -> None:
    """The adjoint gives images of the input's shape; ``A.H`` is the adjoint and ``A.H.H`` the operator."""
    operator = case.build()
    x, y = _pair(case, operator, case.dtype)
    result = operator.adjoint(y)
    expect(result.shape == x.shape, f"the adjoint gives {tuple(result.shape)} for images of {tuple(x.shape)}")
    equal(operator.H(y), result, 0.0, "A.H(y) and A.adjoint(y)")
    equal(operator.H.H(x), operator(x), 0.0, "A.H.H(x) and A(x)")


def linearity(case: Case) -> None:
    """A(a x + b z) = a A x + b A z, for complex a and b where images are complex; A 0 = 0."""
    operator = case.build()
    for dtype in case.dtypes:
        x, z = case.draw(dtype, 1), case.draw(dtype, 2)
        a, b = (0.7 - 1.1j, 1.3 + 0.4j) if x.is_complex() else (0.7, -1.3)
        equal(
            operator(a * x + b * z), a * operator(x) + b * operator(z), _RTOL.get(dtype, 0.1), "A(ax + bz), aAx + bAz"
        )
        expect(not operator(torch.zeros_like(x)).any(), "A 0 is not 0: the operator is affine")


def backward(case: Case) -> None:
    """The gradient of forward is the adjoint, and the gradient of the adjoint is forward."""
    operator = case.build()
    dtype = case.dtype
    rtol = max(case.entry.component.adjoint_rtol or 0.0, _RTOL.get(dtype, 0.1))
    x, y = _pair(case, operator, dtype)
    equal(_pullback(operator, x, y), _like(operator.adjoint(y), x), rtol, "backward of forward, and the adjoint")
    z, w = _pair(case, operator, dtype, seed=5)
    image = operator.adjoint(w)
    z = z.to(image.dtype) if image.is_complex() else z
    equal(_pullback(operator.adjoint, w, z), _like(operator(z), w), rtol, "backward of the adjoint, and forward")


def gradcheck(case: Case) -> None:
    """Finite differences in float64 agree with the gradients of forward and adjoint."""
    case.need(torch.float64)
    operator = case.build()
    x, y = _pair(case, operator, torch.float64)
    for name, function, point in (("forward", operator, x), ("adjoint", operator.adjoint, y)):
        point = point.detach().requires_grad_()
        try:
            torch.autograd.gradcheck(function, (point,), fast_mode=True, atol=1e-6, rtol=1e-4, nondet_tol=1e-6)
        except RuntimeError as error:
            text = str(error).strip().splitlines()
            expect(False, f"{name}: {text[0] if text else 'gradients disagree with finite differences'}")


def normal(case: Case) -> None:
    """``A.normal(x)`` is ``A.adjoint(A(x))``."""
    operator = case.build()
    for dtype in case.dtypes:
        x = case.draw(dtype)
        expected = operator.adjoint(operator(x))
        result = operator.normal(x)
        expect(result.dtype == expected.dtype, f"normal gives {describe(result)}, A^H A x is {describe(expected)}")
        equal(result, expected, _RTOL.get(dtype, 0.1), "A.normal(x) and A.adjoint(A(x))")


def adjoint_noncontiguous(case: Case) -> None:
    """The memory layout of a measurement makes no difference to the adjoint."""
    operator = case.build()
    _, y = _pair(case, operator, case.dtype)
    strided = torch.stack([y, y], -1)[..., 0]
    equal(operator.adjoint(strided), operator.adjoint(y), _RTOL.get(case.dtype, 0.1), "strided and contiguous")


def _pair(case: Case, operator: LinearOperator, dtype: torch.dtype, seed: int = 0) -> tuple[Tensor, Tensor]:
    x = case.draw(dtype, seed)
    ax = operator(x)
    return x, torch.randn(ax.shape, generator=torch.Generator().manual_seed(seed + 100), dtype=ax.dtype)


def _pullback(function: object, x: Tensor, y: Tensor) -> Tensor:
    assert callable(function)  # noqa: S101 - for the type checker
    x = x.detach().requires_grad_()
    output = function(x)
    expect(output.requires_grad, "no gradient passes: the output is detached from the input")
    gradient: Tensor = torch.autograd.grad(output, x, y.to(output.dtype))[0]
    return gradient


def _like(value: Tensor, x: Tensor) -> Tensor:
    """Return the real part where the gradient of a real tensor is meant."""
    return value.real if value.is_complex() and not x.is_complex() else value


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a.to(torch.complex128).conj() * b.to(torch.complex128)).sum()


def _norm(a: Tensor) -> float:
    return float(torch.linalg.vector_norm(a.to(torch.complex128)))


LINEAR = (adjoint, adjoint_shape, linearity, backward, gradcheck, normal, adjoint_noncontiguous)
