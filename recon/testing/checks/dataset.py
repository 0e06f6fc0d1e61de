"""Checks of datasets."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recon.testing.case import Case, CheckError, Skip, expect
from recon.testing.worker import elsewhere

__all__ = ["DATASET", "use"]

_opened: list[str] | None = None
_hooked = False


def use(case: Case) -> None:
    """Build the dataset and take an item."""
    case.build(**case.prepared())[0]


def length(case: Case) -> None:
    """``len()`` is positive, and the index past the end raises IndexError, so that iteration ends."""
    dataset = _dataset(case)
    expect(len(dataset) > 0, "the example's dataset is empty")
    try:
        dataset[len(dataset)]
    except IndexError:
        return
    except Exception as error:
        raise CheckError(f"the index past the end raises {type(error).__name__}, not IndexError") from error
    raise CheckError("the index past the end gives an item")


def items(case: Case) -> None:
    """Items are mappings of tensors with `image` or `measurement`, images (channel, *space), detached and finite."""
    dataset = _dataset(case)
    for index in {0, len(dataset) - 1}:
        item = dataset[index]
        expect(isinstance(item, Mapping), f"item {index} is a {type(item).__name__}, not a dictionary")
        expect({"image", "measurement"} & set(item), f"item {index} holds {sorted(item)}: no image, no measurement")
        for name, value in item.items():
            expect(isinstance(value, Tensor), f"{name!r} is a {type(value).__name__}, not a tensor")
            expect(not value.requires_grad, f"{name!r} requires a gradient")
            expect(bool(torch.isfinite(value).all()), f"{name!r} is not finite")
        image = item.get("image")
        expect(image is None or image.ndim >= 2, "'image' has no channel axis: (channel, *space)")


def alike(case: Case) -> None:
    """All items have the same keys, and each key one dtype and one number of axes."""
    dataset = _dataset(case)
    kinds = {name: (value.dtype, value.ndim) for name, value in dataset[0].items()}
    for index in range(min(len(dataset), 5)):
        other = {name: (value.dtype, value.ndim) for name, value in dataset[index].items()}
        expect(other == kinds, f"item 0 is {kinds}, item {index} is {other}")


def deterministic(case: Case) -> None:
    """An item is the same every time, in every instance, and in whatever order items are taken."""
    prepared = case.prepared()
    dataset = case.build(**prepared)
    last = len(dataset) - 1
    one = dataset[last]
    dataset[0]
    _same(one, dataset[last], "taken twice")
    _same(one, case.build(**prepared)[last], "of another instance")


def shares_nothing(case: Case) -> None:
    """Changing an item in place does not change the dataset."""
    dataset = _dataset(case)
    before = {name: value.clone() for name, value in dataset[0].items()}
    for value in dataset[0].values():
        value.zero_()
    _same(before, dataset[0], "after a taken one was overwritten")


def pickles(case: Case) -> None:
    """The dataset pickles before and after use (open files and all) and works in a spawned data loader worker."""
    if case.entry.plugin.version == "file":
        raise Skip("a plugin file cannot be imported by another process")
    dataset = _dataset(case)
    fresh = _pickled(dataset, "before use")
    item = dataset[0]
    used = _pickled(dataset, "after use")
    for data in (fresh, used):
        length, there = elsewhere(_unpickle_and_take, data)
        expect(length == len(dataset), f"{length} items in a worker, {len(dataset)} here")
        _same(item, there, "in a worker")


def lazy(case: Case) -> None:
    """The constructor reads no file: it opens nothing, and works though all files are empty."""
    prepared = case.prepared()
    # Only what `prepare` has just made may be touched: this check empties files.
    made = sorted(case.folder.rglob("*")) if case.example.prepare else []
    files = {path: path.read_bytes() for path in made if path.is_file()}
    case.build(**prepared)  # once, so that what is imported late is imported
    try:
        for path in files:
            path.write_bytes(b"")
        with _watched() as opened:
            try:
                dataset = case.build(**prepared)
            except Exception as error:
                raise CheckError(f"the constructor reads files: with empty ones it fails with {error}") from error
    finally:
        for path, content in files.items():
            path.write_bytes(content)
    expect(not opened, f"the constructor opens {', '.join(Path(name).name for name in opened[:3])}")
    expect(len(dataset) > 0, "built before its files had content, the dataset stays empty")


def _dataset(case: Case) -> Any:
    return case.build(**case.prepared())


def _pickled(dataset: Any, when: str) -> bytes:
    try:
        return pickle.dumps(dataset)
    except Exception as error:
        raise CheckError(f"it does not pickle {when}: {type(error).__name__}: {error}") from error


def _unpickle_and_take(data: bytes) -> tuple[int, dict[str, Tensor]]:
    dataset = pickle.loads(data)  # noqa: S301 - written above
    return len(dataset), dict(dataset[0])


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor], what: str) -> None:
    expect(one.keys() == other.keys(), f"keys {sorted(one)} and {sorted(other)}: an item {what}")
    for name in one:
        expect(torch.equal(one[name], other[name]), f"{name!r} of an item differs {what}")


@contextmanager
def _watched() -> Iterator[list[str]]:
    """Record the files opened in a with block, modules and the null device apart."""
    global _hooked, _opened
    if not _hooked:
        sys.addaudithook(_audit)  # for good: python has no way to take one back
        _hooked = True
    _opened = []
    try:
        yield _opened
    finally:
        _opened = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event == "open" and isinstance(arguments[0], (str, bytes, Path)):
        name = str(arguments[0])
        if not name.endswith((".py", ".pyc", ".so", ".pyd", "/dev/null")):
            _opened.append(name)


DATASET = (length, items, alike, deterministic, shares_nothing, pickles, lazy)
