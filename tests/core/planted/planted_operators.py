"""Operators with one fault each; the conformance kit has to find it."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from recon import LinearOperator, Operator
from recon.errors import UsageError
from recon.testing import Example


def images():
    return [Example(shape=(2, 1, 7, 9)), Example(shape=(3, 1, 6, 5))]


class Good(LinearOperator):
    """Scales the rows. Shapes: (batch, channel, height, width) -> the same."""

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weights(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return y * self.weights(y)

    def weights(self, x: Tensor) -> Tensor:
        return torch.arange(1, x.shape[-2] + 1, device=x.device)[:, None]


class FlippedAdjoint(Good):
    """The adjoint flips the image. Shapes: as `Good`."""

    def adjoint(self, y: Tensor) -> Tensor:
        return super().adjoint(y).flip(-1)


class RotateBackRadon(LinearOperator):
    """Projections at `angles` by turning the image, and a back-projection that turns the smears back.

    That is what many a toolbox calls the adjoint; bilinear interpolation makes it one only roughly.
    Shapes: x (batch, 1, n, n) -> y (batch, 1, angle, n).
    """

    def __init__(self, *, angles: int) -> None:
        super().__init__()
        self.angles = angles

    def turn(self, x: Tensor, angle: float) -> Tensor:
        c, s = math.cos(angle), math.sin(angle)
        theta = torch.tensor([[c, -s, 0], [s, c, 0]], dtype=x.dtype, device=x.device).expand(len(x), 2, 3)
        grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
        return functional.grid_sample(x, grid, align_corners=False)

    def all_angles(self) -> list[float]:
        return [math.pi * k / self.angles for k in range(self.angles)]

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.turn(x, angle).sum(-2) for angle in self.all_angles()], 2)

    def adjoint(self, y: Tensor) -> Tensor:
        n = y.shape[-1]
        smears = [y[:, :, k, None].expand(-1, -1, n, -1) for k in range(self.angles)]
        turned = [self.turn(smear, -angle) for smear, angle in zip(smears, self.all_angles(), strict=True)]
        return torch.stack(turned).sum(0)


def radon():
    return [Example(params={"angles": 5}, shape=(2, 1, 9, 9))]


class MutatesInput(Good):
    """Works in place. Shapes: as `Good`."""

    def forward(self, x: Tensor) -> Tensor:
        x.data.mul_(self.weights(x))
        return x.clone()


class NotPicklable(Good):
    """Holds a lambda. Shapes: as `Good`."""

    def __init__(self) -> None:
        super().__init__()
        self.function = lambda x: x


class Leaky(Good):
    """Subtracts the mean of the whole batch. Shapes: as `Good`."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean()

    adjoint = forward


class WrongDtype(Good):
    """Always computes in float32. Shapes: as `Good`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float())


class DetachedBackward(Good):
    """The backward of the forward is not the adjoint: half of the gradient is cut off. Shapes: as `Good`."""

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * super().forward(x) + 0.5 * super().forward(x.detach())


class Nondeterministic(Operator):
    """Adds noise of torch's global generator. Shapes: (batch, ...) -> the same."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.randn_like(x)


class NoGeneratorNeeded(Operator):
    """Declares itself stochastic and runs without a generator. Shapes: (batch, ...) -> the same."""

    stochastic = True

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return x + torch.randn(x.shape, generator=generator or torch.Generator(), dtype=x.dtype)

    @property
    def noiseless(self) -> Operator:
        return Good()


class GoodNoise(NoGeneratorNeeded):
    """The same, as it should be. Shapes: (batch, ...) -> the same."""

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if generator is None:
            raise UsageError("noise needs a generator: pass generator=torch.Generator().manual_seed(0)")
        return super().forward(x, generator)


class GlobalSeed(Good):
    """Seeds torch's global generator. Shapes: as `Good`."""

    def forward(self, x: Tensor) -> Tensor:
        torch.manual_seed(42)
        return super().forward(x)


class GlobalDtype(Good):
    """Changes torch's default dtype. Shapes: as `Good`."""

    def forward(self, x: Tensor) -> Tensor:
        torch.set_default_dtype(torch.float64)
        return super().forward(x)


class GlobalThreads(Good):
    """Changes the number of threads. Shapes: as `Good`."""

    def __init__(self) -> None:
        super().__init__()
        torch.set_num_threads(torch.get_num_threads() + 1)


class Unannotated(Good):
    """Takes a `factor` without saying what it may be. Shapes: as `Good`."""

    def __init__(self, *, factor=1) -> None:
        super().__init__()
        self.factor = factor


class Positional(Good):
    """Takes its `factor` by position. Shapes: as `Good`."""

    def __init__(self, factor: int = 1) -> None:
        super().__init__()
        self.factor = factor


class Kwargs(Good):
    """Takes any `options`. Shapes: as `Good`."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options


class LosesArgument(Good):
    """Does not keep its `factor`. Shapes: as `Good`."""

    def __init__(self, *, factor: int = 1) -> None:
        super().__init__()


class UnkeptValue(Good):
    """Keeps another `factor` than it was given. Shapes: as `Good`."""

    def __init__(self, *, factor: int = 1) -> None:
        super().__init__()
        self.factor = factor + 1


def with_factor():
    return [Example(params={"factor": 3}, shape=(2, 1, 4, 5))]


class WrongShape(Good):
    """Declares a shape that it does not have. Shapes: as `Good`."""

    output_shape = (None, None, 4)


class Affine(Good):
    """Adds a constant. Shapes: as `Good`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1


class Contiguous(Good):
    """Reads memory as if it were contiguous. Shapes: as `Good`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.as_strided(x, x.shape, torch.empty(x.shape).stride()))


class WrongNormal(Good):
    """`normal` forgets a factor. Shapes: as `Good`."""

    def normal(self, x: Tensor) -> Tensor:
        return super().forward(x)


class Remembers(Good):
    """Counts its calls in a buffer. Shapes: as `Good`."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x)


class HiddenComplex(Good):
    """Makes complex data of real images without saying so. Shapes: as `Good`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 1j

    def adjoint(self, y: Tensor) -> Tensor:
        return super().adjoint(y) * -1j


class NoDocstring(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


def no_examples():
    return []
