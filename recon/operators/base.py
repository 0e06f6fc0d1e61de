"""The base classes of all forward operators."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self, overload

import torch
from torch import Tensor, nn

from recon.errors import ParameterError, UsageError
from recon.operators.tied import tie
from recon.registry import suggest
from recon.schema import constructor_parameters

__all__ = ["LinearOperator", "Operator", "Shape", "check_shape", "fits"]

Shape = tuple[int | None, ...]
"""Shape of one item, without the batch axis; None stands for any size: ``(None, 64, 64)``."""


def fits(a: Shape | None, b: Shape | None) -> bool:
    """Whether two shapes can be one and the same."""
    if a is None or b is None:
        return True
    return len(a) == len(b) and all(m is None or n is None or m == n for m, n in zip(a, b, strict=True))


def check_shape(operator: nn.Module, x: Tensor, shape: Shape | None) -> None:
    """Raise UsageError unless the items of the batch `x` have the shape that `operator` takes."""
    if not fits(tuple(x.shape[1:]), shape):
        wanted = ", ".join("any" if n is None else str(n) for n in shape or ())
        raise UsageError(f"{type(operator).__name__} takes a tensor (batch, {wanted}), got {tuple(x.shape)}")


class Operator(nn.Module, ABC):
    """A map from images to measurements, linear or not, random or not.

    Operators are values: no call changes them. Every constructor argument is kept as an attribute (or buffer) of the
    same name, which is what `with_`, `repr` and the conformance kit rely on.

    Shapes: x (batch, channel, *space) -> y (batch, ...); see `input_shape` and `output_shape`.
    """

    input_shape: Shape | None = None
    """Shape of one input item, axes of any size as None; None as a whole for any shape."""
    output_shape: Shape | None = None
    """Shape of one output item, likewise."""
    stochastic: bool = False
    """Whether `forward` draws random numbers and therefore takes ``generator=``."""
    complex_input: bool = False
    """Whether images are complex by nature (k-space operators); real ones are accepted all the same."""
    complex_output: bool = False
    """Whether measurements are complex even where the image is real."""
    input_unit: str | None = None
    """Unit in which images must come, if it matters: "1/mm" for line integrals of CT."""
    per_item: tuple[str, ...] = ()
    """Arguments that may be left None because data may bring them, one for each item: masks, coil sensitivities."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Apply the operator. Stochastic operators also take ``generator: torch.Generator``."""

    def sample(self, generator: torch.Generator) -> Operator:  # noqa: ARG002 - part of the interface
        """Draw a member of a random family of operators, such as one with a new mask; by default itself.

        Give a generator of the CPU: what is drawn is decided on the host.
        """
        return self

    @property
    def awaited(self) -> tuple[str, ...]:
        """Names of the `per_item` arguments that are None."""
        return tuple(name for name in self.per_item if getattr(self, name) is None)

    def for_items(self, items: Mapping[str, Tensor]) -> Operator:
        """Return the operator of these items: arguments that are `awaited` are taken from a batch of them, by name."""
        found = {name: items[name] for name in self.awaited if name in items}
        return self.with_(**found) if found else self

    def check_image(self, x: Tensor) -> None:
        """Warn, in one line, of what a measurement of images `x` would miss; `recon simulate` asks for it."""

    @property
    def noiseless(self) -> Operator:
        """The operator without its noise."""
        return self

    def after(self, inner: Operator) -> Operator | None:  # noqa: ARG002 - part of the interface
        """Return ``self @ inner`` where the two are one simpler operator; `compose` asks for it. By default None."""
        return None

    def _device(self) -> torch.device:
        tensor = next(itertools.chain(self.parameters(), self.buffers()), None)
        return torch.device("cpu") if tensor is None else tensor.device

    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments as they stand now."""
        return {name: getattr(self, name) for name in constructor_parameters(type(self))}

    def with_(self, **changes: Any) -> Self:
        """Return a new operator, on the same device, with some constructor arguments changed.

        Raises
        ------
        ParameterError
            If a name is not an argument of the constructor.
        """
        current = self.arguments()
        for name in changes:
            if name not in current:
                message = f"not an argument{suggest(name, current)}; it takes: {', '.join(current)}"
                raise ParameterError(type(self).__name__, [((name,), message)])
        return type(self)(**(current | changes)).train(self.training).to(self._device())

    def extra_repr(self) -> str:
        """Show the arguments; tensors by shape and dtype."""
        values = {k: v for k, v in self.arguments().items() if not isinstance(v, nn.Module)}
        return ", ".join(
            f"{k}=tensor{tuple(v.shape)}:{str(v.dtype)[6:]}" if isinstance(v, Tensor) else f"{k}={v!r}"
            for k, v in values.items()
        )

    @overload
    def __matmul__(self, other: Operator) -> Operator: ...
    @overload
    def __matmul__(self, other: Tensor) -> Tensor: ...
    def __matmul__(self, other: Operator | Tensor) -> Operator | Tensor:
        """Compose: ``(A @ B)(x)`` is ``A(B(x))``; with a tensor, apply."""
        from recon.operators.composition import compose

        return compose(self, other) if isinstance(other, Operator) else self(other)


class LinearOperator(Operator):
    """A linear map with its exact adjoint.

    A subclass defines `forward` and `adjoint` on tensors. Where these are plain torch operations, autograd already
    does the right thing. A subclass whose kernels autograd cannot follow, or follows slowly, says so and gets the
    adjoint as the backward of the forward and the other way round, at any order of differentiation::

        class Radon(LinearOperator, adjoint_as_backward=True): ...

    Real operators have a real adjoint; complex ones the conjugate transpose: <A x, y> = <x, A^H y> with
    <a, b> = sum conj(a) b.
    """

    _tied = False

    def __init_subclass__(cls, adjoint_as_backward: bool | None = None, **kwargs: Any) -> None:
        """Tie forward and adjoint together as each other's backward, if asked; subclasses inherit the wish."""
        super().__init_subclass__(**kwargs)
        if adjoint_as_backward is not None:
            cls._tied = adjoint_as_backward
        if cls._tied:
            setattr(cls, "forward", tie(cls.forward, "forward"))  # noqa: B010 - mypy forbids assigning to a method
            setattr(cls, "adjoint", tie(cls.adjoint, "adjoint"))  # noqa: B010

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint A^H."""

    def normal(self, x: Tensor) -> Tensor:
        """Apply A^H A. Override it where work folds away."""
        return self.adjoint(self.forward(x))

    @property
    def H(self) -> LinearOperator:  # noqa: N802 - the field's name
        """The adjoint as an operator."""
        from recon.operators.algebra import Adjoint

        return Adjoint(operator=self)

    @property
    def N(self) -> LinearOperator:  # noqa: N802
        """The normal operator A^H A as an operator."""
        from recon.operators.algebra import Normal

        return Normal(operator=self)

    def norm(self, *, iterations: int = 30, like: Tensor | None = None, free: int = 1) -> float:
        """Estimate the spectral norm |A| by power iteration on A^H A, from a fixed start.

        Parameters
        ----------
        iterations
            Steps of the iteration; the estimate grows towards the norm.
        like
            Tensor whose shape, dtype and device the images have; needed where `input_shape` is None.
        free
            Size given to the axes that may have any size.
        """
        x = self._probe(like, free)
        value = torch.linalg.vector_norm(x)
        with torch.no_grad():
            for _ in range(iterations):
                # Where A x vanishes, so does the estimate, and 0 / 1 keeps it there.
                x = self.normal(x / torch.where(value > 0, value, 1))
                value = torch.linalg.vector_norm(x)
        return float(value.sqrt())

    def pinv(
        self,
        y: Tensor,
        *,
        iterations: int = 50,
        tolerance: float = 1e-6,
        damping: float = 0.0,
        x0: Tensor | None = None,
    ) -> Tensor:
        """Solve min |A x - y|^2 + damping |x - x0|^2 by conjugate gradients on the normal equations.

        From ``x0 = 0`` and without damping this converges to the least-squares solution of smallest norm.

        Parameters
        ----------
        y
            Measurement; items of the batch are solved side by side.
        iterations, tolerance
            Stop after so many steps, or when |A^H (A x - y)| <= tolerance |A^H y| for every item (0: never look).
        damping
            Weight of the Tikhonov term.
        x0
            Start, and centre of the Tikhonov term; zero by default.
        """
        from recon.solvers import conjugate_gradient

        b = self.adjoint(y)
        if damping and x0 is not None:
            b = b + damping * x0

        def normal(x: Tensor) -> Tensor:
            return self.normal(x) + damping * x if damping else self.normal(x)

        return conjugate_gradient(normal, b, x0=x0, iterations=iterations, tolerance=tolerance)

    def matrix(self, *, like: Tensor | None = None, free: int = 1) -> Tensor:
        """Return the dense matrix, whose column j is A e_j, for small sizes.

        Items are flattened in row-major order. `like` and `free` are as for `norm`; the dtype is that of `like`, or
        float64 (complex128 for complex operators).
        """
        probe = self._probe(like, free, torch.float64)
        size = probe[0].numel()
        if size > 16384:
            raise UsageError(f"matrix() of an operator on {size} unknowns is too large; use at most 16384")
        basis = torch.eye(size, dtype=probe.dtype, device=probe.device).reshape(size, *probe.shape[1:])
        with torch.no_grad():
            columns = torch.cat([self.forward(part) for part in torch.split(basis, max(1, 2**20 // size))])
        return columns.reshape(size, -1).T

    def _probe(self, like: Tensor | None, free: int, dtype: torch.dtype = torch.float32) -> Tensor:
        if like is not None:
            shape, dtype, device = tuple(like.shape), like.dtype, like.device
        elif self.input_shape is None:
            raise UsageError(f"{type(self).__name__} takes images of any shape: pass like=, a tensor of the wanted one")
        else:
            shape = (1, *(free if n is None else n for n in self.input_shape))
            device = self._device()
            if self.complex_input:
                dtype = dtype.to_complex()
        generator = torch.Generator().manual_seed(0)
        return torch.randn(shape, generator=generator, dtype=dtype).to(device)

    @overload  # type: ignore[override]
    def __matmul__(self, other: LinearOperator) -> LinearOperator: ...
    @overload
    def __matmul__(self, other: Operator) -> Operator: ...
    @overload
    def __matmul__(self, other: Tensor) -> Tensor: ...
    def __matmul__(self, other: Operator | Tensor) -> Operator | Tensor:
        """Compose: ``(A @ B)(x)`` is ``A(B(x))``; with a tensor, apply."""
        return super().__matmul__(other)

    def __add__(self, other: LinearOperator) -> LinearOperator:
        """Add: ``(A + B)(x)`` is ``A(x) + B(x)``."""
        from recon.operators.sums import add

        return add(self, other) if isinstance(other, LinearOperator) else NotImplemented

    def __sub__(self, other: LinearOperator) -> LinearOperator:
        """Subtract."""
        return self + (-other)

    def __mul__(self, factor: complex | Tensor) -> LinearOperator:
        """Scale by a number or a scalar tensor."""
        from recon.operators.algebra import Scaled

        return Scaled(operator=self, factor=factor)

    __rmul__ = __mul__

    __array_ufunc__ = None  # NumPy's numbers leave ``number * operator`` to the operator

    def __truediv__(self, divisor: complex | Tensor) -> LinearOperator:
        """Divide by a number or a scalar tensor."""
        return self * (1 / divisor)

    def __neg__(self) -> LinearOperator:
        """Change the sign."""
        return self * -1
