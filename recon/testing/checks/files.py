"""Checks of readers and writers."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import torch

from recon.errors import FileFormatError, ReconError
from recon.io import Image, Measurement
from recon.registry import registry
from recon.testing.case import Case, CheckError, Skip, expect, gap

__all__ = ["READER", "WRITER", "read", "write"]


def read(case: Case) -> Image | Measurement:
    """Build the reader and read the example's file."""
    result: Image | Measurement = case.build().read(_file(case))
    return result


def write(case: Case) -> None:
    """Build the writer and write an image."""
    case.build().write(_image(case), case.folder / f"image{_suffix(case)}")


def accepts(case: Case) -> None:
    """The reader accepts its own file, whose name and first bytes are as the component declares."""
    path = _file(case)
    component = case.entry.component
    expect(case.build().accepts(path), f"it does not accept {path.name}")
    if component.suffixes and path.is_file():
        expect(path.name.lower().endswith(component.suffixes), f"{path.name} has none of {component.suffixes}")
    if component.magic and path.is_file():
        content = path.read_bytes()
        expect(any(content[at : at + len(magic)] == magic for at, magic in component.magic), "the magic does not match")


def result(case: Case) -> None:
    """Reading gives an `Image` or a `Measurement` of finite numbers, with a usable affine if it has one."""
    value = read(case)
    expect(isinstance(value, (Image, Measurement)), f"read() gives a {type(value).__name__}")
    expect(bool(torch.isfinite(value.data).all()), "the data are not finite")
    if isinstance(value, Image) and value.affine is not None:
        affine = np.asarray(value.affine)
        expect(affine.shape == (4, 4) and abs(np.linalg.det(affine)) > 0, f"the affine is {affine.tolist()}")


def repeatable(case: Case) -> None:
    """Reading twice gives the same, and leaves the file as it was."""
    path = _file(case)
    before = {part: part.read_bytes() for part in _files(path)}
    reader = case.build()
    one, two = reader.read(path), reader.read(path)
    expect(one.data.dtype == two.data.dtype and torch.equal(one.data, two.data), "two reads differ")
    if isinstance(one, Image):
        same = np.array_equal(np.asarray(one.affine), np.asarray(two.affine)) if one.affine is not None else True
        expect(same, "two reads give two affines")
    expect(before == {part: part.read_bytes() for part in _files(path)}, "reading changes the file")


def refuses(case: Case) -> None:
    """A missing, an empty, a garbled and a cut file raise FileFormatError, of one line, within two seconds each."""
    path = _file(case)
    reader = case.build()
    if path.is_dir():
        garbled = _emptied(path)
        (garbled / f"garbage{_suffix(case)}").write_bytes(bytes(range(256)) * 4)
        cases = {"missing": path.with_name("missing"), "garbled": garbled}
    else:
        content = path.read_bytes()
        garbage = np.random.default_rng(0).integers(0, 256, max(len(content), 64), dtype=np.uint8).tobytes()
        cases = {"missing": path.with_name(f"missing{_suffix(case)}")}
        for name, data in {"empty": b"", "garbled": garbage, "cut": content[: len(content) // 2]}.items():
            cases[name] = path.with_name(f"{name}_{path.name}")
            cases[name].write_bytes(data)
    for name, wrong in cases.items():
        start = time.monotonic()
        try:
            reader.read(wrong)
        except FileFormatError as error:
            expect("\n" not in str(error), f"the error for a {name} file has several lines")
        except Exception as error:
            raise CheckError(f"a {name} file raises {type(error).__name__}, not FileFormatError: {error}") from error
        else:
            raise CheckError(f"a {name} file is read without an error")
        expect(time.monotonic() - start < 2, f"a {name} file is refused after more than two seconds")


def round_trip(case: Case) -> None:
    """What is written reads back: values, shape and affine.

    Values agree to 1e-3 of the largest: formats may round.
    """
    image = _image(case)
    path = case.folder / f"image{_suffix(case)}"
    case.build().write(image, path)
    expect(path.exists(), f"write() left nothing at {path.name}")
    back = _read_back(path)
    expect(type(back) is type(image), f"it reads back as a {type(back).__name__}")
    expect(back.data.shape == image.data.shape, f"{tuple(image.data.shape)} reads back as {tuple(back.data.shape)}")
    difference = gap(back.data.to(image.data.dtype), image.data)
    expect(difference <= 1e-3, f"values read back with a relative gap of {difference:.2g}")
    if image.affine is not None and back.affine is not None:
        moved = float(np.abs(np.asarray(back.affine) - np.asarray(image.affine)).max())
        expect(moved <= 1e-3, f"the affine reads back {moved:.2g} mm off")


def only_its_file(case: Case) -> None:
    """The writer makes its file, those it declares as `companions`, and no other; the image stays as it was."""
    image = _image(case)
    before = image.data.clone()
    path = case.folder / f"image{_suffix(case)}"
    path.write_bytes(b"old")
    case.build().write(image, path)
    expect(torch.equal(image.data, before), "writing changes the image")
    own = {path, *(path.with_suffix(suffix) for suffix in case.entry.component.companions)}
    left = sorted(p.name for p in case.folder.iterdir() if p not in own)
    expect(not left, f"writing leaves {', '.join(left)} behind")
    expect(path.is_dir() or path.read_bytes() != b"old", "an existing file is not replaced")


def _file(case: Case) -> Path:
    prepared = case.prepared()
    if "path" not in prepared:
        raise CheckError('the example\'s prepare gives no {"path": file}')
    return Path(prepared["path"])


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def _emptied(path: Path) -> Path:
    """Return an empty folder beside a folder."""
    other = path.with_name("garbled")
    shutil.rmtree(other, ignore_errors=True)
    other.mkdir()
    return other


def _suffix(case: Case) -> str:
    return next(iter(case.entry.component.suffixes), "")


def _image(case: Case) -> Image | Measurement:
    """Return what the example wants written, or whole numbers in its shape, turned and shifted in space."""
    wanted = case.prepared().get("image")
    if wanted is not None:
        return wanted  # type: ignore[no-any-return]
    shape = case.example.shape
    if shape is None:
        raise CheckError("the example gives no shape")
    data = torch.arange(float(torch.Size(shape).numel())).reshape(shape) % 251
    affine = np.array([[0.0, -1.5, 0.0, 10.0], [1.25, 0.0, 0.0, -20.0], [0.0, 0.0, 2.0, 30.0], [0.0, 0.0, 0.0, 1.0]])
    return Image(data=data, affine=affine)


def _read_back(path: Path) -> Image | Measurement:
    for entry in registry().entries("reader"):
        if path.name.endswith(entry.component.suffixes or ("\0",)):
            try:
                reader = entry.load()()
                if reader.accepts(path):
                    value: Image | Measurement = reader.read(path)
                    return value
            except ReconError as error:
                raise CheckError(f"the written file does not read back: {error}") from error
    raise Skip(f"no installed reader takes {path.suffix} files")


READER = (accepts, result, repeatable, refuses)
WRITER = (round_trip, only_its_file)
