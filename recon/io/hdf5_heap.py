"""What has no fixed length in an HDF5 file: checked byte by byte before the library follows it.

Values of variable length lie in global heaps; each element is a length, the address of a heap and a number in it. HDF5
2.0 reads a heap whose free space is zero bytes long for ever, which is no error that could be caught; whether it checks
the lengths of elements depends on its version. The bytes are laid out as in the HDF5 File Format Specification, version
3.0, sections III.E (global heap) and IV.A (object headers).
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5t, h5z

__all__ = ["check_attribute", "check_chunks", "check_values"]

_UNDEFINED = 2**64 - 1
_REFERENCE = np.dtype([("length", "<u4"), ("heap", "<u8"), ("number", "<u4")])
_LAYOUT, _ATTRIBUTE, _CONTINUATION, _ATTRIBUTES_ELSEWHERE = 0x08, 0x0C, 0x10, 0x15
"""Kinds of messages in the header of an object."""


def check_values(data: h5py.Dataset) -> None:
    """Check what all elements of a dataset refer to; nothing if they have a fixed length.

    Raises
    ------
    ValueError
        If the file is damaged there, or packs the references in an unusual way.
    """
    size, places = _form(data.id.get_type())
    if places and data.size:
        with _bytes(data) as content:
            try:
                _check(_stored(data, size, content), places, size, content, data.file.userblock_size)
            except (struct.error, IndexError, zlib.error):
                raise ValueError("references to a heap are damaged") from None


def check_chunks(data: h5py.Dataset) -> None:
    """Check that chunks are made for elements of the dataset's size; HDF5 would write beyond its memory for others.

    Raises
    ------
    ValueError
        If the file is damaged there.
    """
    size, _ = _form(data.id.get_type())
    with _bytes(data) as content:
        try:
            for kind, message in _messages(data, content):
                # Layouts of version 4 come with a checksum.
                if kind == _LAYOUT and message[:2] == b"\3\2":
                    (found,) = struct.unpack_from("<I", message, 11 + 4 * (message[2] - 1))
                    if found != size or message[2] != len(data.shape) + 1:
                        raise ValueError("chunks are not of the size of their elements")
        except (struct.error, IndexError):
            raise ValueError("the layout is damaged") from None


def check_attribute(item: h5py.HLObject, name: str) -> None:
    """Check what all elements of an attribute refer to; nothing if they have a fixed length.

    Attributes that are not kept with their object, as HDF5 does of more than eight where a file asks for its newest
    format, are not looked at.

    Raises
    ------
    ValueError
        If the file is damaged there.
    """
    attribute = item.attrs.get_id(name)
    size, places = _form(attribute.get_type())
    if not places:
        return
    with _bytes(item) as content:
        try:
            elsewhere = seen = False
            for kind, message in _messages(item, content):
                elsewhere |= kind == _ATTRIBUTES_ELSEWHERE
                if kind == _ATTRIBUTE and (found := _value(message, name.encode())) is not None:
                    seen = True
                    part = found[: size * int(np.prod(attribute.shape, dtype=np.int64))]
                    _check([part], places, size, content, item.file.userblock_size)
            if not seen and not elsewhere:
                raise ValueError("an attribute is damaged")
        except (struct.error, IndexError):
            raise ValueError("references to a heap are damaged") from None


def _bytes(item: h5py.HLObject) -> mmap.mmap:
    if item.file.id.get_create_plist().get_sizes() != (8, 8):
        raise ValueError("addresses are not of eight bytes")
    with Path(item.file.filename).open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _form(kind: Any) -> tuple[int, list[tuple[int, int]]]:
    """Bytes of an element in the file, the offsets of references in it, and the bytes of what each of them counts.

    The library tells the sizes and offsets that it uses in memory, where a text is a pointer.
    """
    size, places = kind.get_size(), []
    match kind.get_class():
        case h5t.STRING if kind.is_variable_str():
            return 16, [(0, 1)]
        case h5t.VLEN:
            width, inner = _form(kind.get_super())
            if inner:
                raise ValueError("lists of lists are not read")
            return 16, [(0, width)]
        case h5t.COMPOUND:
            grown = 0
            members = [(kind.get_member_offset(n), kind.get_member_type(n)) for n in range(kind.get_nmembers())]
            for at, member in sorted(members, key=itemgetter(0)):
                stored, inner = _form(member)
                places += [(at + grown + offset, width) for offset, width in inner]
                grown += stored - member.get_size()
            return size + grown, places
        case h5t.ARRAY:
            member = kind.get_super()
            stored, inner = _form(member)
            count = size // member.get_size()
            if inner:
                places = [(number * stored + at, width) for number in range(count) for at, width in inner]
            return count * stored, places
    return size, places


def _check(parts: list[bytes], places: list[tuple[int, int]], size: int, content: mmap.mmap, base: int) -> None:
    heaps: dict[int, dict[int, int]] = {}
    elements = np.frombuffer(b"".join(part[: len(part) // size * size] for part in parts), np.uint8).reshape(-1, size)
    for at, width in places:
        references = np.ascontiguousarray(elements[:, at : at + 16]).view(_REFERENCE)[:, 0]
        for length, heap, number in references.tolist():
            if heap in (0, _UNDEFINED):  # nothing was written
                continue
            if heap not in heaps:
                heaps[heap] = _heap(content, base + heap)
            if heaps[heap].get(number) != length * width:
                raise ValueError("an element is not as long as what it refers to")


def _heap(content: mmap.mmap, start: int) -> dict[int, int]:
    """Return the sizes of what a heap holds, by number."""
    if start + 16 > len(content) or content[start : start + 5] != b"GCOL\1":
        raise ValueError("a reference leads to no heap")
    (size,) = struct.unpack_from("<Q", content, start + 8)
    at, end = start + 16, start + size
    if end > len(content):
        raise ValueError("a heap is longer than the file")
    found: dict[int, int] = {}
    while at + 16 <= end:
        number, length = struct.unpack_from("<H6xQ", content, at)
        # The free space counts its own head.
        need = 16 + (length + 7) // 8 * 8 if number else length
        if number in found or need < 16 or at + need > end:
            raise ValueError("a heap is damaged")
        found[number] = length
        at += need
    found.pop(0, None)
    return found


def _stored(data: h5py.Dataset, width: int, content: mmap.mmap) -> list[bytes]:
    """Return the bytes of all elements that were written, as they lie in the file."""
    if data.chunks is not None:
        return _chunks(data, width, content)
    size = data.size * width
    for kind, message in _messages(data, content):
        if kind == _LAYOUT and message[0] in (3, 4, 5):
            if message[1] == 0:  # compact: in the header itself
                return [message[4 : 4 + size]]
            (place,) = struct.unpack_from("<Q", message, 2)
            if place == _UNDEFINED:
                return []
            place += data.file.userblock_size
            return [content[place : place + size]]
    raise ValueError("its layout is not known")


def _chunks(data: h5py.Dataset, width: int, content: mmap.mmap) -> list[bytes]:
    properties = data.id.get_create_plist()
    filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    stored: list[tuple[tuple[int, ...], int, int]] = []
    data.id.chunk_iter(lambda chunk: stored.append((chunk.chunk_offset, chunk.byte_offset, chunk.size)))
    whole = int(np.prod(data.chunks)) * width
    if not filters and any(size != whole for _, _, size in stored):  # before they are read: beyond the memory for them
        raise ValueError("chunks are not of the declared size")
    rows, found = data.shape[0], []
    plain = not filters and not data.file.userblock_size
    for start, place, size in stored:
        # From the file itself where that is as good, since the library takes several times as long.
        mask, part = (0, content[place : place + size]) if plain else data.id.read_direct_chunk(start)
        for number, code in reversed(list(enumerate(filters))):
            if mask >> number & 1:
                continue
            if code == h5z.FILTER_DEFLATE:
                part = zlib.decompressobj().decompress(part, whole)
            elif code == h5z.FILTER_SHUFFLE:
                part = np.frombuffer(part, np.uint8).reshape(width, -1).T.tobytes()
            else:
                raise ValueError("references to a heap are packed in a way that is not read")
        if len(part) != whole:
            raise ValueError("chunks are not of the declared size")
        if len(start) == 1:  # behind the last element lies what it likes
            part = part[: (rows - start[0]) * width]
        found.append(part)
    return found


def _messages(item: h5py.HLObject, content: mmap.mmap) -> Iterator[tuple[int, bytes]]:
    """Kinds and contents of the messages in the header of a group or dataset."""
    base = item.file.userblock_size
    start = base + h5py.h5o.get_info(item.id).addr
    if content[start : start + 4] == b"OHDR":
        flags = content[start + 5]
        at = start + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        blocks = [(at + width, int.from_bytes(content[at : at + width], "little"))]
        head, form = (6 if flags & 4 else 4), "<BH"
    else:
        blocks = [(start + 16, struct.unpack_from("<I", content, start + 8)[0])]
        head, form = 8, "<HH"
    for begin, length in blocks:  # grows meanwhile
        if begin + length > len(content) or len(blocks) > 1000:
            raise ValueError("a header is damaged")
        at = begin
        while at + head <= begin + length:
            kind, size = struct.unpack_from(form, content, at)
            message = content[at + head : at + head + size]
            if kind == _CONTINUATION:
                place, room = struct.unpack_from("<QQ", message)
                # The newer form has a mark before and a checksum behind.
                blocks.append((base + place, room) if head == 8 else (base + place + 4, room - 8))
            yield kind, message
            at += head + size


def _value(message: bytes, name: bytes) -> bytes | None:
    """Return the bytes of an attribute's elements, if it has this name."""
    version, *sizes = struct.unpack_from("<BxHHH", message)
    ends = [9 if version == 3 else 8]
    for size in sizes:
        ends.append(ends[-1] + ((size + 7) // 8 * 8 if version == 1 else size))
    stored, *_ = (message[a:b] for a, b in pairwise(ends))
    return message[ends[-1] :] if stored.split(b"\0")[0] == name else None
