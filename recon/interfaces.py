"""What each kind of component must offer, as types. Components satisfy them by shape; none need inherit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from recon.operators.base import LinearOperator, Operator

if TYPE_CHECKING:
    from recon.io import Image, Measurement

__all__ = [
    "LOSS_INPUTS",
    "Bucketed",
    "Calibrated",
    "CoilOperator",
    "Dataset",
    "Loss",
    "Method",
    "Metric",
    "OperatorModel",
    "Reader",
    "Writer",
]

LOSS_INPUTS = ("prediction", "target", "measurement", "operator", "model", "generator", "maximum")
"""What the engine can hand to a loss. A loss's ``forward`` names those it needs."""


class OperatorModel(nn.Module, ABC):
    """A network that reconstructs with the help of the operator: ``model(y, operator) -> x``.

    The engine calls any other model as ``model(y)``.
    """

    crops_to_target: bool = False
    """Whether the image may be larger than its target, which then shows its middle: oversampled k-space."""

    @abstractmethod
    def forward(self, y: Tensor, operator: LinearOperator) -> Tensor:
        """Reconstruct. Shapes: y as `operator` gives it -> x (batch, channel, *space)."""


class Loss(nn.Module, ABC):
    """A loss: ``forward`` names what it needs out of `LOSS_INPUTS` and returns a scalar.

    ``forward(self, prediction, target)`` is supervised; ``forward(self, prediction, measurement, operator)`` needs no
    ground truth. A loss of another library that names its two inputs otherwise is called as (prediction, target).
    """

    @abstractmethod
    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss over the batch, a scalar tensor."""


class Metric(nn.Module, ABC):
    """A figure of merit per item: ``forward(prediction, target) -> (batch,)``, on the device, without gradients.

    A ``forward`` that names a third argument ``maximum`` is handed what items hold under that name, (batch,), or None.
    """

    higher_is_better: ClassVar[bool] = True
    """Which way is better; the engine keeps the best checkpoint by it."""

    @property
    @abstractmethod
    def convention(self) -> str:
        """One line that fixes what the number means: data range, window, border, per slice or per volume."""

    @abstractmethod
    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return one value per item of the batch."""


@runtime_checkable
class Dataset(Protocol):
    """A map-style dataset whose items are dictionaries of tensors without the batch axis.

    Keys: ``image`` (channel, *space) for ground truth, ``measurement`` for measured data. ``target`` is what
    reconstructions are compared with where that is not the image itself: a magnitude, class labels (int64). Tensors
    named like an argument that the forward operator awaits (`Operator.per_item`: ``mask``, ``maps``) make it the
    operator of that item. ``maximum``, a number, is the largest value of the volume that an item belongs to, for losses
    and metrics that ask for it. An item may carry more tensors of any name. Item `index` is always the same: randomness
    belongs to the engine, or is keyed by the index.
    """

    def __len__(self) -> int:
        """Return the number of items."""
        ...

    def __getitem__(self, index: int) -> Mapping[str, Tensor]:
        """Return one item; IndexError past the end."""
        ...


@runtime_checkable
class Bucketed(Protocol):
    """A dataset whose items differ in shape, and that tells which are alike without reading them (``data.bucket``)."""

    def __len__(self) -> int:
        """Return the number of items."""
        ...

    def __getitem__(self, index: int) -> Mapping[str, Tensor]:
        """Return one item; IndexError past the end."""
        ...

    def buckets(self) -> Sequence[int]:
        """Return a number for each item, the same for items whose tensors have the same shapes."""
        ...


@runtime_checkable
class Reader(Protocol):
    """Reads one file format. Its Component declares `suffixes` and `magic`, so that choosing never imports it.

    It may also have ``explain(path)``, facts by name in words for ``recon info``, and ``problems(path)``, a list with
    one line for each thing that is wrong with a file, for ``recon check-data``.
    """

    def accepts(self, path: Path) -> bool:
        """Whether the file or folder is of this format, by looking at as little of it as will tell."""
        ...

    def read(self, path: Path) -> Image | Measurement:
        """Read the file.

        Raises
        ------
        FileFormatError
            If it is not what its format asks, with the fix.
        """
        ...


@runtime_checkable
class Writer(Protocol):
    """Writes images or measurements in one file format; its Component declares `suffixes`.

    A writer that shares its suffix with others may have ``takes(image) -> bool``, which says whether it is for such an
    item at all: an image, or a measurement. It may have ``losses(image) -> list[str]``, sentences about what of an
    item the file does not tell, which ``recon convert`` prints.
    """

    def write(self, image: Image | Measurement, path: Path) -> None:
        """Write to `path`, which the caller renames to its final name when this returns.

        Raises
        ------
        UsageError
            If the format cannot hold it, with the fix.
        """
        ...


@runtime_checkable
class Method(Protocol):
    """A reconstruction method: measurement and operator in, image out."""

    def __call__(self, y: Tensor, operator: Operator) -> Tensor:
        """Reconstruct. Shapes: y as `operator` gives it -> x (batch, channel, *space)."""
        ...


@runtime_checkable
class CoilOperator(Protocol):
    """A linear operator that measures coil images, one channel a coil: k-space of data that bring no sensitivities."""

    def with_maps(self, maps: Tensor) -> LinearOperator:
        """Return the operator of one image seen by all coils.

        Shapes: maps (coil, *space) or (batch, coil, *space); (batch, set, coil, *space) for several sets of maps, each
        with an image of its own.
        """
        ...


@runtime_checkable
class Calibrated(Protocol):
    """A method that estimates sensitivities or kernels from the data, or from calibration data beside them."""

    def with_calibration(self, data: Tensor) -> Method:
        """Return the method that takes its calibration from `data`, k-space of the shape of the measurement."""
        ...


def describe(value: Any) -> str:
    """Say what a tensor is in a few words, for error messages."""
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype)[6:]} tensor of shape {tuple(value.shape)}"
    return type(value).__name__
