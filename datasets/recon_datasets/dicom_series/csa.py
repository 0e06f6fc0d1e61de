"""The private header (CSA) of Siemens scanners before XA: elements by name."""

from __future__ import annotations

import struct

__all__ = ["CSA_CREATOR", "CSA_IMAGE", "csa_numbers"]

CSA_IMAGE, CSA_CREATOR = 0x00291010, 0x00290010
"""Tags of the header of an image, and of the word that says it is one: SIEMENS CSA HEADER."""
_MOST_ELEMENTS = 4096


def csa_numbers(data: bytes, wanted: tuple[str, ...]) -> dict[str, list[float]]:
    """Return the numbers of some elements of a CSA header (SV10, or the older layout without that mark).

    What a damaged header holds before the damage is returned.
    """
    found: dict[str, list[float]] = {}
    try:
        at = 8 if data[:4] == b"SV10" else 0
        (count,) = struct.unpack_from("<I", data, at)
        at += 8
        for _ in range(min(count, _MOST_ELEMENTS)):
            name = data[at : at + 64].split(b"\0", 1)[0].decode("latin-1")
            (items,) = struct.unpack_from("<I", data, at + 76)
            at += 84
            values = []
            for _ in range(min(items, _MOST_ELEMENTS)):
                (length,) = struct.unpack_from("<I", data, at)
                if length > len(data):
                    return found
                text = data[at + 16 : at + 16 + length].split(b"\0", 1)[0].strip()
                if text and name in wanted:
                    values.append(float(text))
                at += 16 + (length + 3) // 4 * 4
            if name in wanted:
                found[name] = values
    except (struct.error, ValueError):
        return found
    return found
