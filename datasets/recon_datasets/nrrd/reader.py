"""Reading NRRD files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Gt

from recon.io import Image
from recon.io.provenance import from_files
from recon_datasets.nrrd.header import read_header

__all__ = ["NrrdReader"]


class NrrdReader:
    """Reads NRRD files, ``.nrrd``, or ``.nhdr`` with its data file in the same folder: raw, gzip or bzip2.

    Directions and origin of a space of RAS, LAS or LPS become an affine to RAS; without them it is unknown. Axes of
    time become "t", an axis of components "channel", one of complex numbers complex values. Types are kept, unsigned
    ones of more than 8 bits become wider. Exactly as many bytes as declared are read; too few are refused. Fields of
    free text are left out.

    Parameters
    ----------
    limit_gb
        Largest image in GiB that is read: a small packed file can hold a huge one.
    """

    def __init__(self, *, limit_gb: Annotated[float, Gt(0)] = 16.0) -> None:
        self.limit_gb = limit_gb

    def accepts(self, path: Path) -> bool:
        """Whether the file begins with an NRRD mark."""
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(7) == b"NRRD000"

    def read(self, path: Path) -> Image:
        """Read an image: ([t,] [channel,] z, y, x) or so; axes that are not of space come first.

        Raises
        ------
        CodedFileError
            RECON-IMAGE-HEADER, -AFFINE, -CODEC, -OUTSIDE, -TRUNCATED, -CHECKSUM or -SIZE.
        """
        header = read_header(path, limit=int(self.limit_gb * 2**30))
        found = header.voxels.read()
        data = torch.from_numpy(found.array.reshape(header.shape[::-1]))
        names = header.names[::-1]
        if names[-1] == "complex":
            data = torch.view_as_complex(data if data.is_floating_point() else data.float())
            names = names[:-1]
        order = sorted(range(len(names)), key=lambda axis: names[axis] in "xyz")  # stable: space goes last
        notes = header.notes
        if found.trailing:
            notes += ("bytes behind the image were left out",)
        if found.not_finite:
            notes += (f"{found.not_finite} values are not finite",)
        return Image(
            data=data.permute(order).contiguous(),
            affine=header.affine,
            dims=tuple(names[axis] for axis in order),
            voxel_size=header.voxel_size,
            notes=notes,
            provenance=from_files("nrrd", path, header.voxels.path),
        )
