"""A synthetic private header (CSA) of Siemens scanners."""

import struct

__all__ = ["csa"]


def csa(numbers):
    """A CSA header with elements of numbers."""
    out = b"SV10\4\3\2\1" + struct.pack("<II", len(numbers), 77)
    for name, values in numbers.items():
        out += name.encode().ljust(64, b"\0") + struct.pack("<I4sIII", 1, b"FD\0\0", 0, len(values), 77)
        for value in values:
            text = f"{value:.8f}".encode() + b"\0"
            out += struct.pack("<4I", len(text), len(text), 77, len(text)) + text.ljust(-(-len(text) // 4) * 4, b"\0")
    return out
