"""Losses, models, metrics, datasets, readers, writers and methods with one fault each."""

from pathlib import Path

import torch
from torch import Tensor, nn

from recon.errors import FileFormatError
from recon.interfaces import Loss, Metric
from recon.io import Image
from recon.testing import Example


def images():
    return [Example(shape=(3, 1, 6, 7))]


class GoodLoss(Loss):
    """Mean squared error."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).abs().square().mean()


class InfiniteLoss(GoodLoss):
    """A logarithm of something that may be zero."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return -torch.log(0 * super().forward(prediction, target))


class NegativeLoss(GoodLoss):
    """Below zero."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return super().forward(prediction, target) - 10


class BareRoot(GoodLoss):
    """Its gradient at the target is NaN."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return super().forward(prediction, target).sqrt()


class Rising(GoodLoss):
    """Falls away from the target."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return 1 / (1 + super().forward(prediction, target))


class ItemWise(GoodLoss):
    """Not a scalar."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).square().mean((1, 2, 3))


class OrderMatters(GoodLoss):
    """Weighs the first item most."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        weights = torch.arange(len(prediction), 0, -1, dtype=prediction.dtype)
        return ((prediction - target).square().mean((1, 2, 3)) * weights).mean()


class CutGradient(GoodLoss):
    """Half of its gradient is missing."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return ((prediction - target) * (prediction - target).detach()).mean()


class AsksTooMuch(GoodLoss):
    """Asks for what the engine does not have."""

    def forward(self, prediction: Tensor, target: Tensor, weather: Tensor) -> Tensor:
        return super().forward(prediction, target) + weather.mean() ** 2


class GoodModel(nn.Module):
    """A convolution. Shapes: (batch, 1, height, width) -> the same."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class DeadParameter(GoodModel):
    """Has a layer that it never uses. Shapes: as `GoodModel`."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(2, 2)


class AlwaysDrops(GoodModel):
    """Drops out in evaluation too. Shapes: as `GoodModel`."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(x), 0.5, training=True)


class BatchNormAlways(GoodModel):
    """Normalises over the batch in evaluation too. Shapes: as `GoodModel`."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return (y - y.mean()) / y.std()


class InplaceModel(GoodModel):
    """Works in place. Shapes: as `GoodModel`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.relu_())


class Float32Only(GoodModel):
    """Breaks under autocast. Shapes: as `GoodModel`."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if y.dtype is torch.bfloat16:
            raise RuntimeError("expected float")
        return y


def counted():
    return [Example(shape=(2, 1, 6, 7), parameter_count=11)]


class GoodMetric(Metric):
    """Negative mean squared error."""

    @property
    def convention(self) -> str:
        return "over all pixels of an item"

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return -(prediction - target).square().flatten(1).mean(1)


class WrongWay(GoodMetric):
    """Says that higher is better, and it is not."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return -super().forward(prediction, target)


class OneNumber(GoodMetric):
    """One value for the whole batch."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return super().forward(prediction, target).mean()


class BatchRange(GoodMetric):
    """Takes the data range over the batch."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return super().forward(prediction, target) / target.max()


class NoConvention(GoodMetric):
    """Does not say what it means."""

    convention = ""


def three_files(folder: Path):
    for index in range(3):
        (folder / f"{index}.bin").write_bytes(bytes(range(index, index + 12)))
    return {"folder": str(folder)}


def folders():
    return [Example(prepare=three_files)]


class GoodDataset:
    """Images of 3 x 4 bytes in a `folder`."""

    def __init__(self, *, folder: str) -> None:
        self.folder = folder

    def __len__(self) -> int:
        return len(list(Path(self.folder).glob("*.bin")))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        path = sorted(Path(self.folder).glob("*.bin"))[index]
        return {"image": torch.tensor(list(path.read_bytes())).reshape(1, 3, 4) / 255}


class EagerDataset(GoodDataset):
    """Reads its files in the constructor; of a `folder`."""

    def __init__(self, *, folder: str) -> None:
        super().__init__(folder=folder)
        self.content = [path.read_bytes() for path in sorted(Path(folder).glob("*.bin"))]


class Endless(GoodDataset):
    """Wraps around, in a `folder`."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return super().__getitem__(index % 3)


class RandomItems(GoodDataset):
    """Crops at random, in a `folder`."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": super().__getitem__(index)["image"] + torch.rand(())}


class OpenFile(GoodDataset):
    """Keeps a file open once used, in a `folder`."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not hasattr(self, "file"):
            self.file = (Path(self.folder) / "0.bin").open("rb")
        return super().__getitem__(index)

    def __del__(self) -> None:
        if hasattr(self, "file"):
            self.file.close()


class NoTensor(GoodDataset):
    """Gives a path along, in a `folder`."""

    def __getitem__(self, index: int) -> dict:
        return {**super().__getitem__(index), "path": self.folder}


class Cached(GoodDataset):
    """Hands out its own cache, in a `folder`."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        self.__dict__.setdefault("cache", {})
        if index not in self.cache:
            self.cache[index] = super().__getitem__(index)
        return dict(self.cache[index])


MAGIC = b"PLANTED!"


def one_file(folder: Path):
    path = folder / "image.planted"
    path.write_bytes(MAGIC + bytes(range(12)))
    return {"path": path}


def file():
    return [Example(prepare=one_file)]


class GoodReader:
    """Reads 3 x 4 bytes."""

    def accepts(self, path: Path) -> bool:
        return path.is_file() and path.read_bytes()[:8] == MAGIC

    def read(self, path: Path) -> Image:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise FileFormatError(f"{path} cannot be read") from error
        if content[:8] != MAGIC or len(content) != 20:
            raise FileFormatError(f"{path} is not a whole planted file")
        return Image(data=torch.tensor(list(content[8:]), dtype=torch.float32).reshape(3, 4))


class Trusting(GoodReader):
    """Reads anything, missing bytes as zeros."""

    def read(self, path: Path) -> Image:
        content = path.read_bytes()[8:20] if path.exists() else b""
        return Image(data=torch.tensor(list(content.ljust(12, b"\0")), dtype=torch.float32).reshape(3, 4))


class RawErrors(GoodReader):
    """Lets the errors of others through."""

    def read(self, path: Path) -> Image:
        return Image(data=torch.tensor(list(path.read_bytes()[8:])).reshape(3, 4))
