"""The identity, adjoints, normal operators and multiples."""

from __future__ import annotations

import numbers
from typing import Any, cast

from torch import Tensor, nn

from recon.errors import UsageError
from recon.operators.base import LinearOperator
from recon.operators.combined import AnyOperator, Combined, as_linear

__all__ = ["Adjoint", "Identity", "Normal", "Scaled"]


class Identity(LinearOperator):
    """The identity: y = x, of any shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        """Return y."""
        return y

    @property
    def H(self) -> LinearOperator:  # noqa: N802
        """The identity itself."""
        return self


class Adjoint(Combined, LinearOperator):
    """The adjoint of a linear operator, as an operator."""

    def __init__(self, *, operator: AnyOperator) -> None:
        super().__init__()
        self.operator = as_linear(operator)
        self.input_shape, self.output_shape = operator.output_shape, operator.input_shape
        self.complex_input, self.complex_output = operator.complex_output, operator.complex_input

    def forward(self, x: Tensor) -> Tensor:
        """Apply the operator's adjoint."""
        return self.operator.adjoint(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the operator."""
        return self.operator.forward(y)

    @property
    def H(self) -> LinearOperator:  # noqa: N802
        """The operator itself."""
        return self.operator


class Normal(Combined, LinearOperator):
    """A^H A as a self-adjoint operator."""

    def __init__(self, *, operator: AnyOperator) -> None:
        super().__init__()
        self.operator = as_linear(operator)
        self.input_shape = self.output_shape = operator.input_shape
        self.complex_input = self.complex_output = operator.complex_input

    def forward(self, x: Tensor) -> Tensor:
        """Apply A^H A."""
        return self.operator.normal(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply A^H A: it is its own adjoint."""
        return self.operator.normal(y)

    @property
    def H(self) -> LinearOperator:  # noqa: N802
        """The operator itself."""
        return self


class Scaled(Combined, LinearOperator):
    """A multiple of a linear operator: y = factor * A x, with adjoint conj(factor) * A^H y.

    Parameters
    ----------
    operator
        The operator A.
    factor
        A number, or a scalar tensor, which becomes a buffer; an `nn.Parameter` can be learnt.
    """

    factor: Any

    def __init__(self, *, operator: AnyOperator, factor: Any) -> None:
        super().__init__()
        self.operator = as_linear(operator)
        if isinstance(factor, Tensor) and factor.ndim == 0:
            is_complex = factor.is_complex()
            if isinstance(factor, nn.Parameter):
                self.factor = factor
            else:
                self.register_buffer("factor", factor)
        elif isinstance(factor, numbers.Complex):
            is_complex = not isinstance(factor, numbers.Real)
            self.factor = complex(factor) if is_complex else float(cast("float", factor))
        else:
            kind = f"a tensor of shape {tuple(factor.shape)}" if isinstance(factor, Tensor) else repr(factor)
            raise UsageError(f"an operator is scaled by a number or by a scalar tensor, not by {kind}")
        self.input_shape, self.output_shape = operator.input_shape, operator.output_shape
        self.complex_input = operator.complex_input
        self.complex_output = operator.complex_output or is_complex

    def forward(self, x: Tensor) -> Tensor:
        """Apply the operator and multiply."""
        return self.factor * self.operator(x)  # type: ignore[no-any-return]

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint and multiply by the conjugate."""
        return self._conjugate * self.operator.adjoint(y)  # type: ignore[no-any-return]

    def normal(self, x: Tensor) -> Tensor:
        """Apply |factor|^2 A^H A."""
        return (self._conjugate * self.factor).real * self.operator.normal(x)  # type: ignore[no-any-return]

    @property
    def _conjugate(self) -> Any:
        return self.factor.conj() if isinstance(self.factor, Tensor) else self.factor.conjugate()
