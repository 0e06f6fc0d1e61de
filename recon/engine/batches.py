"""Where training batches come from: a set resident on the device, or a stream that worker processes read."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from recon.engine.buckets import BucketOrder, buckets_of
from recon.engine.keys import BatchOrder, Keys, Purpose
from recon.engine.plans import SamplingPlan
from recon.engine.sampling import Draw, ItemStore, check_crop, cut, draw, ready
from recon.errors import ReconError, UsageError
from recon.interfaces import Dataset

__all__ = ["Batch", "ResidentSource", "Source", "StreamedSource", "make_source"]

Batch = dict[str, Tensor]

_PROBES = 5
_RESIDENT_BYTES = 2 * 2**30
_RESIDENT_SHARE = 0.25


class Source(Protocol):
    """A source of micro-batches. What it gives is a function of (seed, step, micro-batch) and nothing else."""

    order: BatchOrder | BucketOrder

    def batch(self, step: int, micro: int) -> Batch:
        """Return one micro-batch on the device."""
        ...

    def stream(self, start: int, stop: int, micros: Sequence[int]) -> Generator[Batch]:
        """Iterate over the micro-batches `micros` of steps `start` to `stop`."""
        ...


class _Sampler:
    """What both sources share: which items, and which random numbers, make up a micro-batch."""

    def __init__(
        self,
        dataset: Dataset,
        keys: Sequence[str],
        plan: SamplingPlan,
        order: BatchOrder | BucketOrder,
        micro_size: int,
        axes: int,
    ) -> None:
        self.dataset = dataset
        self.keys = tuple(keys)
        self.plan = plan
        self.order = order
        self.micro_size = micro_size
        self.axes = axes
        self.random = Keys(order.seed, torch.device("cpu"))

    def __call__(self, step: int, micro: int) -> tuple[Tensor, Draw | None]:
        indices = self.order.indices(step, micro * self.micro_size, (micro + 1) * self.micro_size)
        if self.plan.crop is None and self.plan.augment == "none":
            return indices, None
        generator = self.random.generator(Purpose.AUGMENT, step, micro)
        return indices, draw(self.plan, self.micro_size, self.axes, generator)


class ResidentSource:
    """A set that stays on the device as it is stored; crops, mirrors and turns are gathered there."""

    def __init__(self, sampler: _Sampler, device: torch.device) -> None:
        self.sampler, self.order, self.device = sampler, sampler.order, device
        columns: dict[str, list[Tensor]] = {name: [] for name in sampler.keys}
        for index in range(len(sampler.dataset)):
            item = _item(sampler.dataset, index, sampler.keys)
            for name in sampler.keys:
                columns[name].append(item[name])
        numbers = {name: items for name, items in columns.items() if items[0].ndim == 0}
        self.numbers = {name: torch.stack(items).to(device) for name, items in numbers.items()}
        self.stores = {name: ItemStore(items, device) for name, items in columns.items() if name not in numbers}
        for name, store in self.stores.items():
            if name == "image" or sampler.plan.crop is not None or sampler.plan.augment != "none":
                check_crop(sampler.plan, store.sizes)

    def batch(self, step: int, micro: int) -> Batch:
        """Return one micro-batch on the device."""
        indices, numbers = self.sampler(step, micro)
        if self.device.type != "cpu":
            indices = self._send(indices)
            if numbers is not None:
                parts = (numbers.where, numbers.mirror, numbers.turn)
                numbers = Draw(*(None if part is None else self._send(part) for part in parts))  # type: ignore[arg-type]
        crop = self.sampler.plan.crop
        batch = {name: store.take(indices, numbers, crop) for name, store in self.stores.items()}
        batch |= {name: values.index_select(0, indices) for name, values in self.numbers.items()}
        return {name: ready(name, values) for name, values in batch.items()}

    def stream(self, start: int, stop: int, micros: Sequence[int]) -> Generator[Batch]:
        """Iterate over the micro-batches `micros` of steps `start` to `stop`."""
        for step in range(start, stop):
            for micro in micros:
                yield self.batch(step, micro)

    def _send(self, x: Tensor) -> Tensor:
        # From pinned memory, so that the copy does not wait for the device.
        x = x.pin_memory() if self.device.type == "cuda" else x
        return x.to(self.device, non_blocking=True)


class StreamedSource:
    """A set that worker processes read, a few micro-batches ahead; the number of workers does not change the data."""

    def __init__(self, sampler: _Sampler, device: torch.device, accumulate: int) -> None:
        self.sampler, self.order, self.device, self.accumulate = sampler, sampler.order, device, accumulate

    def batch(self, step: int, micro: int) -> Batch:
        """Return one micro-batch on the device."""
        batch = _whole(_Micro(self.sampler, self.accumulate)[step * self.accumulate + micro])
        return {name: ready(name, value.to(self.device)) for name, value in batch.items()}

    def stream(self, start: int, stop: int, micros: Sequence[int]) -> Generator[Batch]:
        """Iterate over the micro-batches `micros` of steps `start` to `stop`."""
        workers = min(self.sampler.plan.workers, (stop - start) * len(micros))
        loader: DataLoader[Batch | ReconError] = DataLoader(
            _Micro(self.sampler, self.accumulate),
            batch_size=None,
            sampler=(step * self.accumulate + micro for step in range(start, stop) for micro in micros),
            num_workers=workers,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=4 if workers else None,
            worker_init_fn=_start_worker,
        )
        reading = iter(loader)
        batches = map(_whole, reading)
        try:
            yield from self._overlapped(batches) if self.device.type == "cuda" else map(self._plain, batches)
        finally:
            # Now, not when the last reference goes: an error's traceback holds one, and Python's exit awaits workers.
            if workers:
                reading._shutdown_workers()  # type: ignore[attr-defined]

    def _plain(self, batch: Batch) -> Batch:
        return {name: ready(name, value.to(self.device)) for name, value in batch.items()}

    def _overlapped(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Copy each batch on a second stream while the one before is being worked on."""
        side = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        ahead: Batch | None = None
        while True:
            raw = next(batches, None)
            current, ahead = ahead, None
            if current is not None:
                main = torch.cuda.current_stream(self.device)
                main.wait_stream(side)
                for value in current.values():
                    value.record_stream(main)
            if raw is not None:
                with torch.cuda.stream(side):
                    ahead = {name: ready(name, value.to(self.device, non_blocking=True)) for name, value in raw.items()}
            if current is not None:
                yield current
            elif raw is None:
                return


class _Micro(TorchDataset[Batch | ReconError]):
    """Micro-batch `step * accumulate + micro` as an item, so that a worker makes it whole.

    Errors of the toolkit are handed over as items: the loader would bury their one line in a worker's traceback.
    """

    def __init__(self, sampler: _Sampler, accumulate: int) -> None:
        self.sampler, self.accumulate = sampler, accumulate

    def __getitem__(self, index: int) -> Batch | ReconError:
        try:
            return self._batch(*divmod(index, self.accumulate))
        except ReconError as error:
            return error.with_traceback(None)

    def _batch(self, step: int, micro: int) -> Batch:
        indices, numbers = self.sampler(step, micro)
        sampler = self.sampler
        items = [_item(sampler.dataset, i, sampler.keys) for i in indices.tolist()]
        crop = sampler.plan.crop
        batch: Batch = {}
        for name in sampler.keys:
            parts = [cut(x, numbers, row, crop) if x.ndim else x for row, x in enumerate(item[name] for item in items)]
            if any(part.shape != parts[0].shape for part in parts):
                raise UsageError(f"{name}s of different sizes make no batch: set data.crop or data.bucket")
            batch[name] = torch.stack(parts)
        return batch


def _whole(batch: Batch | ReconError) -> Batch:
    if isinstance(batch, ReconError):
        raise batch
    return batch


def make_source(
    dataset: Dataset,
    *,
    keys: Sequence[str],
    plan: SamplingPlan,
    batch_size: int,
    accumulate: int,
    seed: int,
    device: torch.device,
) -> Source:
    """Choose between a resident and a streamed source; both give the same batches.

    Raises
    ------
    UsageError
        If the set is empty, lacks one of `keys`, or the crop does not fit its images.
    """
    order: BatchOrder | BucketOrder
    if plan.bucket and len(dataset):
        order = BucketOrder(buckets=buckets_of(dataset), batch_size=batch_size, seed=seed, drop_last=plan.drop_last)
    else:
        order = BatchOrder(size=len(dataset), batch_size=batch_size, seed=seed, drop_last=plan.drop_last)
    first = _item(dataset, 0, keys)
    shapes = {tuple(first[name].shape[1:]) for name in keys if first[name].ndim}
    if len(shapes) > 1 and (plan.crop is not None or plan.augment != "none"):
        raise UsageError(
            f"data.crop and data.augment need images and measurements of one size, not {sorted(shapes)}; "
            "leave them out, or simulate the measurements with regime: operator"
        )
    check_crop(plan, torch.tensor([first[keys[0]].shape[1:]]))
    sampler = _Sampler(dataset, keys, plan, order, batch_size // accumulate, first[keys[0]].ndim - 1)
    kind: str = plan.source
    if kind == "auto":
        kind = "streamed" if plan.bucket else _choice(dataset, keys, device)
    return ResidentSource(sampler, device) if kind == "resident" else StreamedSource(sampler, device, accumulate)


def _choice(dataset: Dataset, keys: Sequence[str], device: torch.device) -> str:
    count = len(dataset)
    probes = sorted({index * (count - 1) // max(1, _PROBES - 1) for index in range(_PROBES)})
    sizes = [sum(value.nbytes for value in _item(dataset, index, keys).values()) for index in probes]
    expected = max(sizes) * count
    room = torch.cuda.mem_get_info(device)[0] * _RESIDENT_SHARE if device.type == "cuda" else _RESIDENT_BYTES
    return "resident" if expected <= room else "streamed"


def _item(dataset: Dataset, index: int, keys: Sequence[str]) -> Mapping[str, Tensor]:
    item: Any = dataset[index]
    if not isinstance(item, Mapping):
        raise UsageError(
            f"dataset {type(dataset).__name__} gives a {type(item).__name__}; an item is a dictionary of tensors such "
            "as {'image': ..., 'measurement': ...}"
        )
    missing = [name for name in keys if name not in item]
    if missing:
        raise UsageError(
            f"items of dataset {type(dataset).__name__} have no {missing[0]!r} (they have: {', '.join(item)}); "
            "choose the regime that fits the data: pairs needs image and measurement, operator image, "
            "measurements measurement"
        )
    return {name: item[name] for name in keys}


def _start_worker(worker: int) -> None:  # noqa: ARG001 - the loader passes it
    torch.set_num_threads(1)
    # Signals to the whole group (Ctrl-C, a cluster's SIGTERM) are the main process's to obey: a worker that died of one
    # would fail the step that is still to be finished. Workers end with the loader, or with their parent; a second
    # SIGTERM ends them at once, as Python's exit relies on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: signal.signal(number, signal.SIG_DFL))
