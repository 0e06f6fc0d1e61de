"""Arrays as image files hold them: exactly the declared values are read, unpacked and scaled on the way."""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from recon.errors import CodedFileError

igzip: Any = None
_DAMAGE: tuple[Any, ...] = (gzip.BadGzipFile, zlib.error)
with suppress(ImportError):  # the extra `fast`
    from isal import igzip, isal_zlib

    _DAMAGE += (isal_zlib.error,)

__all__ = ["LIMIT", "Packing", "StoredArray", "Values"]

Packing = Literal["raw", "gzip", "zlib", "bzip2"]

LIMIT = 16 * 2**30
"""Largest image in bytes, as stored, that is read unless a caller says otherwise."""

# The most that each packing can shrink bytes.
_MAX_RATIO: dict[Packing, int] = {"raw": 1, "gzip": 1032, "zlib": 1032, "bzip2": 50_000}
# Fits the second cache together with its converted values.
_CHUNK = 2**18
# Smaller ones are read: a process may hold only so many maps.
_SMALLEST_MAP = 2**20
# torch computes with few unsigned types, and has no extended precision.
_WIDER = {"u2": "i4", "u4": "i8", "u8": "i8", "f16": "f8", "c32": "c16"}


@dataclass(frozen=True, slots=True)
class Values:
    """What was read: a flat array, whether more bytes follow in the file, and how many values are not finite."""

    array: np.ndarray
    trailing: bool
    not_finite: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArray:
    """Where and how a file holds an array of numbers.

    A number is ``slope * stored + inter``; of complex numbers both parts are scaled.

    Parameters
    ----------
    path
        The file.
    dtype
        Type of the stored numbers, with their byte order.
    size
        How many there are.
    offset
        Where they, or the packed stream that holds them, begin in the file.
    packing
        How they are packed.
    skip
        Bytes of the unpacked stream that come before them.
    slope, inter
        Scaling.
    """

    path: Path
    dtype: np.dtype[Any]
    size: int
    offset: int = 0
    packing: Packing = "raw"
    skip: int = 0
    slope: float = 1.0
    inter: float = 0.0

    @property
    def scaled(self) -> bool:
        """Whether the numbers differ from those stored."""
        return (self.slope, self.inter) != (1.0, 0.0)

    @property
    def natural(self) -> np.dtype[Any]:
        """The smallest type of torch's that holds the numbers: float32 for scaled ones of up to 16 bits or floats."""
        stored = self.dtype
        if not self.scaled:
            name = f"{stored.kind}{stored.itemsize}"
            return np.dtype(_WIDER.get(name, name))
        wide = stored.itemsize > {"c": 8, "f": 4}.get(stored.kind, 2)
        return np.dtype(("c16" if wide else "c8") if stored.kind == "c" else ("f8" if wide else "f4"))

    def check(self, limit: int = LIMIT) -> None:
        """Compare what is declared with the file's size, before anything is allocated.

        Raises
        ------
        CodedFileError
            RECON-IMAGE-SIZE above `limit` bytes, RECON-IMAGE-TRUNCATED for more than the file can hold.
        """
        declared = self.skip + self.size * self.dtype.itemsize
        held = max(0, self.path.stat().st_size - self.offset) * _MAX_RATIO[self.packing]
        if declared > held:
            raise CodedFileError(
                "RECON-IMAGE-TRUNCATED",
                f"{self.path} declares {declared} bytes, more than it can hold: damaged or cut off",
            )
        if declared > limit:
            raise CodedFileError(
                "RECON-IMAGE-SIZE",
                f"{self.path} declares {declared} bytes, above the limit of {limit}: raise the limit",
            )

    def read(self, first: int = 0, count: int | None = None, dtype: np.dtype[Any] | None = None) -> Values:
        """Read numbers.

        Parameters
        ----------
        first, count
            Which of them; all by default.
        dtype
            Their type; `natural` by default. Large arrays that lie in the file just so are mapped, not read.

        Raises
        ------
        CodedFileError
            RECON-IMAGE-TRUNCATED, -CHECKSUM or -SIZE: the file ends too soon, its packed stream is damaged, or there
            is not enough memory.
        """
        count = self.size - first if count is None else count
        result = self.natural if dtype is None else np.dtype(dtype)
        try:
            if self.packing == "raw":
                return self._raw(first, count, result)
            return self._unpacked(first, count, result)
        except MemoryError:
            raise CodedFileError(
                "RECON-IMAGE-SIZE", f"{self.path}: {count} values of type {result} do not fit into memory"
            ) from None
        except EOFError:
            raise CodedFileError(
                "RECON-IMAGE-TRUNCATED", f"{self.path} ends before its data: damaged or cut off"
            ) from None
        except _DAMAGE:
            raise CodedFileError(
                "RECON-IMAGE-CHECKSUM", f"{self.path}: the packed data are damaged or cut off: fetch the file again"
            ) from None
        except OSError as error:  # bz2's only complaint about damage has no number
            if error.errno is not None:
                raise
            raise CodedFileError(
                "RECON-IMAGE-CHECKSUM", f"{self.path}: the packed data are damaged or cut off: fetch the file again"
            ) from None

    def _raw(self, first: int, count: int, result: np.dtype[Any]) -> Values:
        start = self.offset + self.skip + first * self.dtype.itemsize
        stop = start + count * self.dtype.itemsize
        end = self.path.stat().st_size
        if end < stop:
            raise EOFError
        whole = first + count == self.size
        if count == 0:
            return Values(np.empty(0, result), whole and end > stop, 0)
        # Copy on write, as torch takes no array that cannot be written; the file stays as it is.
        stored = np.asarray(np.memmap(self.path, dtype=self.dtype, mode="c", offset=start, shape=(count,)))
        same = result == self.dtype.newbyteorder("=") and self.dtype.isnative and not self.scaled
        if same and stored.flags.aligned and stored.nbytes >= _SMALLEST_MAP:
            return Values(stored, whole and end > stop, sum(map(_not_finite, _pieces(stored))))
        out = np.empty(count, result)
        # Plain integers take one pass; what is scaled or counted stays in the cache between its passes.
        parts = [(0, stored)] if stored.dtype.kind in "iu" and not self.scaled else _numbered(stored)
        odd = sum(self._convert(part, out[at : at + len(part)]) for at, part in parts)
        return Values(out, whole and end > stop, odd)

    def _unpacked(self, first: int, count: int, result: np.dtype[Any]) -> Values:
        out = np.empty(count, result)
        straight = result == self.dtype.newbyteorder("=") and not self.scaled
        odd = 0
        with _stream(self.path, self.packing, self.offset) as stream:
            _skip(stream, self.skip + first * self.dtype.itemsize)
            if straight:
                for _, part in _numbered(out):
                    _fill(stream, part)
                    if not self.dtype.isnative:
                        part.byteswap(inplace=True)
                    odd += _not_finite(part)
            else:
                buffer = np.empty(max(1, _CHUNK // self.dtype.itemsize), self.dtype)
                for start in range(0, count, len(buffer)):
                    part = buffer[: min(len(buffer), count - start)]
                    _fill(stream, part)
                    odd += self._convert(part, out[start : start + len(part)])
            # Behind the last byte of a stream its checksum is compared. What comes in place of the end is not unpacked.
            trailing = first + count == self.size and bool(stream.read(1))
        return Values(out, trailing, odd)

    def _convert(self, stored: np.ndarray, out: np.ndarray) -> int:
        """Scale and convert; return how many results are not finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self.scaled:  # in double precision, whatever the result is kept in
                kind = np.complex128 if stored.dtype.kind == "c" else np.float64
                inter = complex(self.inter, self.inter) if stored.dtype.kind == "c" else self.inter
                exact = np.multiply(stored, self.slope, dtype=kind)
                exact += inter
                out[...] = exact
            else:
                if (
                    stored.dtype.kind == "u"
                    and stored.itemsize == 8
                    and out.dtype.kind == "i"
                    and stored.max() >= 2**63
                ):
                    raise CodedFileError(
                        "RECON-IMAGE-HEADER", f"{self.path} holds integers above 2^63, which torch cannot"
                    )
                np.copyto(out, stored, casting="unsafe")
                if stored.dtype.kind in "iu":
                    return 0
        return _not_finite(out)


@contextmanager
def _stream(path: Path, packing: Packing, offset: int) -> Iterator[BinaryIO]:
    with path.open("rb") as file:
        file.seek(offset)
        if packing == "gzip":
            # isal, the extra `fast`, unpacks in half the time.
            opened: Any = gzip.GzipFile(fileobj=file) if igzip is None else igzip.IGzipFile(fileobj=file)
        elif packing == "bzip2":
            opened = bz2.BZ2File(file)
        else:
            opened = io.BufferedReader(_Inflated(file), 2**16)
        with opened as stream:
            yield stream


class _Inflated(io.RawIOBase):
    """A zlib stream, unpacked no further than is asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._engine = zlib.decompressobj(47)  # zlib or gzip, whichever the first bytes are of

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        while not self._engine.eof:
            packed = self._engine.unconsumed_tail or self._file.read(2**16)
            found = self._engine.decompress(packed, len(view))
            if found:
                view[: len(found)] = found
                return len(found)
            if not packed:
                raise EOFError
        return 0


def _numbered(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    step = max(1, _CHUNK // array.itemsize)
    for start in range(0, len(array), step):
        yield start, array[start : start + step]


def _pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    # Integers are always finite: they need not be looked at, so a mapped file is not read.
    return (part for _, part in _numbered(array)) if array.dtype.kind in "fc" else iter(())


def _not_finite(values: np.ndarray) -> int:
    if values.dtype.kind not in "fc" or not values.size:
        return 0
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum()):  # a sum takes a fraction of the time of a count
            return 0
    return int(values.size - np.count_nonzero(np.isfinite(values)))


def _fill(stream: BinaryIO, array: np.ndarray) -> None:
    view = memoryview(array.view(np.uint8))  # type: ignore[arg-type]
    while view:
        found = stream.readinto(view)  # type: ignore[attr-defined]
        if not found:
            raise EOFError
        view = view[found:]


def _skip(stream: BinaryIO, count: int) -> None:
    while count:
        found = len(stream.read(min(count, _CHUNK)))
        if not found:
            raise EOFError
        count -= found
