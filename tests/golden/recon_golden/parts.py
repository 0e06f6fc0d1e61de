"""One component of each kind."""

from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

from recon import Image, LinearOperator, Operator
from recon.errors import FileFormatError, UsageError
from recon.interfaces import Loss, Metric
from recon.schema import Part


class Double(LinearOperator, adjoint_as_backward=True):
    """Twice the image. Shapes: x (batch, channel, *space) -> the same.

    Parameters
    ----------
    factor
        Two, unless you want otherwise.
    """

    def __init__(self, *, factor: Annotated[float, Gt(0)] = 2.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x

    def adjoint(self, y: Tensor) -> Tensor:
        return self.factor * y


class Noise(Operator):
    """Uniform noise between -amplitude and amplitude. Shapes: x (batch, ...) -> the same.

    Parameters
    ----------
    amplitude
        In the units of x.
    """

    stochastic = True

    def __init__(self, *, amplitude: Annotated[float, Ge(0)]) -> None:
        super().__init__()
        self.amplitude = amplitude

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        if generator is None:
            raise UsageError("noise needs a generator: pass generator=torch.Generator().manual_seed(0)")
        noise = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return x + self.amplitude * (2 * noise - 1)

    @property
    def noiseless(self) -> Operator:
        return Double(factor=1.0)


class Bias(nn.Module):
    """Adds a learned number. Shapes: x (batch, channel, *space) -> the same.

    Parameters
    ----------
    noise
        An operator, to show that parts nest.
    """

    def __init__(self, *, noise: Annotated[Operator, Part("operator")] | None = None) -> None:
        super().__init__()
        self.noise = noise
        self.bias = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class Square(Loss):
    """Mean squared error."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).abs().square().mean()


class Consistency(Loss):
    """Mean squared misfit of the measurement."""

    def forward(self, prediction: Tensor, measurement: Tensor, operator: LinearOperator) -> Tensor:
        return (operator(prediction) - measurement).abs().square().mean()


class Distance(Metric):
    """Largest absolute difference."""

    higher_is_better = False

    @property
    def convention(self) -> str:
        return "largest absolute difference over an item"

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).abs().flatten(1).amax(1)


class Ramps:
    """Images whose values rise from left to right.

    Parameters
    ----------
    count
        How many.
    """

    def __init__(self, *, count: Annotated[int, Gt(0)]) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return {"image": torch.linspace(0, index + 1.0, 5).expand(1, 4, 5).clone()}


class BytesReader:
    """Reads the word GOLDEN, the side, and the rows."""

    def accepts(self, path: Path) -> bool:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(6) == b"GOLDEN"

    def read(self, path: Path) -> Image:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise FileFormatError(f"{path} cannot be read: {error.strerror}") from error
        if content[:6] != b"GOLDEN" or len(content) < 7 or len(content) != 7 + content[6] ** 2:
            raise FileFormatError(f"{path} is not a whole golden file; write it again")
        data = torch.tensor(list(content[7:]), dtype=torch.float32)
        return Image(data=data.reshape(content[6], content[6]))


class BytesWriter:
    """Writes what `BytesReader` reads."""

    def write(self, image: Image, path: Path) -> None:
        side = image.data.shape[-1]
        path.write_bytes(b"GOLDEN" + bytes([side]) + bytes(image.data.flatten().to(torch.uint8).tolist()))


class Backproject:
    """x = A^H y / |A|^2."""

    def __call__(self, y: Tensor, operator: LinearOperator) -> Tensor:
        return operator.adjoint(y) / operator.norm(like=y) ** 2


def main(arguments: list[str]) -> int:
    """Answer ``recon golden``."""
    print("golden", *arguments)
    return 0
