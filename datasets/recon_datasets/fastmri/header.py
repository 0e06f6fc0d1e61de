"""What the ISMRMRD header of a fastMRI file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py

from recon.io.hdf5 import dataset
from recon.io.image import Value
from recon.io.mrd_header import parse_header

__all__ = ["Header", "read_header"]


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a file.

    Parameters
    ----------
    facts
        Under the names of `recon.io.image.METADATA`; fields that are missing are left out.
    stated_padding
        The phase-encoding columns (first, past the last) that were measured, as the encoding limits state them: the
        first is encoded_y // 2 - center, maximum + 1 columns follow. Real headers state columns outside of the matrix;
        see `padding`.
    """

    facts: Mapping[str, Value] = field(default_factory=dict)
    stated_padding: tuple[int, int] | None = None

    @property
    def crop(self) -> tuple[int, int] | None:
        """(rows, columns) of the reconstruction: the readout is the header's x, the phase its y."""
        return self._pair("recon_matrix")

    @property
    def encoded(self) -> tuple[int, int] | None:
        """(rows, columns) of k-space as the header has it."""
        return self._pair("encoded_matrix")

    def padding(self, columns: int) -> tuple[int, int] | None:
        """Return the measured columns (first, past the last), clipped to the matrix.

        Unclipped, a negative first column would count from the right, and wipe out a whole mask.
        """
        if self.stated_padding is None:
            return None
        first, end = (min(max(column, 0), columns) for column in self.stated_padding)
        return (first, end) if first < end else None

    def _pair(self, name: str) -> tuple[int, int] | None:
        matrix = self.facts.get(name)
        return (int(matrix[0]), int(matrix[1])) if isinstance(matrix, tuple) else None


def read_header(file: h5py.File, path: Path) -> Header | None:
    """Read the header of an open file; None if it has none.

    Raises
    ------
    FileFormatError
        If there is a header that is not the XML of one.
    """
    stored = dataset(file, "ismrmrd_header")
    if stored is None:
        return None
    text = stored[()]
    header = parse_header(text if isinstance(text, bytes) else str(text), f"{path}: 'ismrmrd_header'")
    facts = dict(header.facts)
    stated = None
    for encoding in header.encodings[:1]:
        for name, space in (("encoded", encoding.encoded), ("recon", encoding.recon)):
            facts |= {} if space.matrix is None else {f"{name}_matrix": space.matrix}
            facts |= {} if space.fov is None else {f"{name}_fov_mm": space.fov}
        limit = encoding.limits.get("kspace_encoding_step_1")
        if limit is not None and encoding.encoded.matrix is not None:
            first = encoding.encoded.matrix[1] // 2 - limit.center
            stated = (first, first + limit.maximum + 1)
    return Header(facts, stated)
