"""Random crops, mirrors and turns: drawn once per batch, applied to one item at a time or to a whole resident set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recon.engine.plans import SamplingPlan
from recon.errors import UsageError

__all__ = ["Draw", "ItemStore", "check_crop", "cut", "draw", "ready", "to_float"]

_INTEGER_SCALES = {torch.uint8: 255.0, torch.uint16: 65535.0}


@dataclass(frozen=True, slots=True)
class Draw:
    """Random numbers of one batch of `n` items with `d` axes, on the CPU.

    `where` (n, d) in [0, 1) places the crop, `mirror` (n, d) says which axes run backwards, `turn` (n,) whether the
    last two axes change places.
    """

    where: Tensor
    mirror: Tensor | None = None
    turn: Tensor | None = None


def draw(plan: SamplingPlan, count: int, axes: int, generator: torch.Generator) -> Draw | None:
    """Draw what `plan` asks for; None if it asks for whole images as they are."""
    if plan.crop is None and plan.augment == "none":
        return None
    numbers = torch.rand(count, 2 * axes + 1, generator=generator)
    mirror = numbers[:, axes : 2 * axes] < 0.5 if plan.augment != "none" else None
    turn = numbers[:, -1] < 0.5 if plan.augment == "dihedral" else None
    return Draw(numbers[:, :axes], mirror, turn)


def check_crop(plan: SamplingPlan, sizes: Tensor) -> None:
    """Refuse a plan that does not fit items of these sizes (items, axes)."""
    axes = sizes.shape[1]
    if plan.crop is not None and len(plan.crop) != axes:
        raise UsageError(f"data.crop {list(plan.crop)} has {len(plan.crop)} axes, the images have {axes}")
    if plan.crop is not None:
        small = sizes.lt(torch.tensor(plan.crop)).any(1)
        if small.any():
            size = sizes[int(small.nonzero()[0])].tolist()
            raise UsageError(f"data.crop {list(plan.crop)} is larger than an image of {size}: use a smaller crop")
    elif not bool((sizes == sizes[0]).all()):
        first, other = sizes[0].tolist(), sizes[int((sizes != sizes[0]).any(1).nonzero()[0])].tolist()
        raise UsageError(f"images of different sizes ({first}, {other}) make no batch: set data.crop or data.bucket")
    if plan.augment == "dihedral":
        shape = list(plan.crop) if plan.crop is not None else sizes[0].tolist()
        if axes < 2 or shape[-1] != shape[-2]:
            raise UsageError(f"data.augment: dihedral turns images and needs a square crop, not {shape}; use flip")


def cut(item: Tensor, numbers: Draw | None, row: int, crop: Sequence[int] | None) -> Tensor:
    """Crop, mirror and turn one item (channel, *space) by row `row` of a draw."""
    if numbers is None:
        return item
    if crop is not None:
        for axis, (size, wanted) in enumerate(zip(item.shape[1:], crop, strict=True)):
            # In the same float32 arithmetic as ItemStore.take: both give the same crop.
            start = int(numbers.where[row, axis] * (size - wanted + 1))
            item = item.narrow(axis + 1, start, wanted)
    if numbers.turn is not None and bool(numbers.turn[row]):
        item = item.transpose(-1, -2)
    if numbers.mirror is not None:
        axes = [axis + 1 for axis, flag in enumerate(numbers.mirror[row].tolist()) if flag]
        item = item.flip(axes) if axes else item
    return item


class ItemStore:
    """All items of a set side by side in one tensor on the device, as they are stored; sizes may differ.

    Batches are cut out by one gather, whatever the crops, mirrors and turns.

    Parameters
    ----------
    items
        Tensors (channel, *space) of one dtype and one number of channels.
    device
        Where to keep them.
    """

    def __init__(self, items: Sequence[Tensor], device: torch.device) -> None:
        first = items[0]
        for index, item in enumerate(items):
            if item.dtype != first.dtype or item.shape[0] != first.shape[0] or item.ndim != first.ndim:
                raise UsageError(
                    f"item {index} is {item.dtype} of shape {tuple(item.shape)}, item 0 {first.dtype} of shape "
                    f"{tuple(first.shape)}: all items must agree in type, channels and number of axes"
                )
        self.shape = tuple(first.shape) if all(item.shape == first.shape for item in items) else None
        self.device = device
        self.count = len(items)
        self.flat = torch.cat([item.reshape(-1) for item in items]).to(device)
        self.channels = first.shape[0]
        self.sizes = torch.tensor([item.shape[1:] for item in items])
        strides = torch.ones_like(self.sizes)
        strides[:, :-1] = self.sizes.flip(1).cumprod(1).flip(1)[:, 1:]
        lengths = self.sizes.prod(1)
        ends = (lengths * self.channels).cumsum(0)
        # Per item: where it begins, how far its channels are apart, how far the neighbours along each axis are apart.
        self.layout = torch.cat([(ends - lengths * self.channels)[:, None], lengths[:, None], strides], 1).to(device)
        self.device_sizes = self.sizes.to(device)

    def whole(self, indices: Tensor) -> Tensor:
        """Return whole items (batch, channel, *space); `indices` are on the device."""
        if self.shape is None:
            raise UsageError("images of different sizes make no batch: set data.crop")
        return self.flat.view(self.count, *self.shape).index_select(0, indices)

    def take(self, indices: Tensor, numbers: Draw | None, crop: Sequence[int] | None) -> Tensor:
        """Return cropped, mirrored and turned items; `indices` and `numbers` are on the device."""
        if numbers is None:
            return self.whole(indices)
        axes = self.sizes.shape[1]
        wanted = tuple(crop) if crop is not None else self.shape[1:] if self.shape is not None else ()
        layout = self.layout.index_select(0, indices)
        sizes = self.device_sizes.index_select(0, indices)
        position: Tensor = layout[:, 0].view(-1, *[1] * axes)
        turned = position
        for axis, size in enumerate(wanted):
            stride = layout[:, 2 + axis, None]
            along = torch.arange(size, device=self.device)
            # Per axis, by a plain number: a list of sizes would be a copy from the host, which waits for the device.
            start = (numbers.where[:, axis, None] * (sizes[:, axis, None] - size + 1)).long()
            partner = _partner(axis, axes)
            here = _mirrored(along, size, numbers.mirror, axis)
            position = position + _along(here + start, stride, axis, axes)
            if numbers.turn is not None:
                there = _mirrored(along, size, numbers.mirror, partner)
                turned = turned + _along(there + start, stride, partner, axes)
        if numbers.turn is not None:
            position = torch.where(numbers.turn.view(-1, *[1] * axes), turned, position)
        position = position.unsqueeze(1)
        if self.channels > 1:
            channel = torch.arange(self.channels, device=self.device)
            position = position + (channel * layout[:, 1, None]).view(-1, self.channels, *[1] * axes)
        return self.flat.index_select(0, position.reshape(-1)).view(position.shape)


def to_float(x: Tensor) -> Tensor:
    """Convert stored values to the precision of training: uint8 and uint16 to [0, 1], all others to float32."""
    if x.dtype in (torch.float32, torch.complex64):
        return x
    if x.is_complex():
        return x.to(torch.complex64)
    scale = _INTEGER_SCALES.get(x.dtype)
    return x.float() if scale is None else x.float().div_(scale)


def ready(name: str, x: Tensor) -> Tensor:
    """Convert what an item stores under a name: images and measurements to float, masks and class labels not."""
    as_stored = x.dtype in (torch.bool, torch.int64) and name not in ("image", "measurement")
    return x if as_stored else to_float(x)


def _partner(axis: int, axes: int) -> int:
    """Axis of the result along which stored axis `axis` runs when the last two change places."""
    return {axes - 1: axes - 2, axes - 2: axes - 1}.get(axis, axis)


def _mirrored(along: Tensor, size: int, mirror: Tensor | None, axis: int) -> Tensor:
    """Positions (1 or batch, size) along an axis of the result."""
    return along[None] if mirror is None else torch.where(mirror[:, axis, None], size - 1 - along, along)


def _along(positions: Tensor, stride: Tensor, axis: int, axes: int) -> Tensor:
    offsets = positions * stride
    shape = [1] * axes
    shape[axis] = offsets.shape[1]
    return offsets.view(-1, *shape)
