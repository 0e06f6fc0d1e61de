"""Reading MetaImage files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Gt

from recon.io import Image
from recon.io.provenance import from_files
from recon_datasets.metaimage.header import is_metaimage, read_header

__all__ = ["MetaImageReader"]


class MetaImageReader:
    """Reads MetaImage files of ITK: ``.mha``, or ``.mhd`` with its data file in the same folder, packed or not.

    The world of these files is LPS, as ITK takes it, and becomes RAS. Where the header does not tell both orientation
    and position, the affine is unknown. Types are kept, unsigned ones of more than 8 bits become wider. Exactly as many
    bytes as declared are read; too few are refused.

    Parameters
    ----------
    limit_gb
        Largest image in GiB that is read: a small packed file can hold a huge one.
    """

    def __init__(self, *, limit_gb: Annotated[float, Gt(0)] = 16.0) -> None:
        self.limit_gb = limit_gb

    def accepts(self, path: Path) -> bool:
        """Whether the file begins with the fields of a MetaImage."""
        return path.is_file() and is_metaimage(path)

    def read(self, path: Path) -> Image:
        """Read an image: ([channel,] [t,] z, y, x) or ([channel,] y, x).

        Raises
        ------
        CodedFileError
            RECON-IMAGE-HEADER, -AFFINE, -CODEC, -OUTSIDE, -TRUNCATED, -CHECKSUM or -SIZE.
        """
        header = read_header(path, limit=int(self.limit_gb * 2**30))
        found = header.voxels.read()
        data = torch.from_numpy(found.array.reshape((*header.shape[::-1], header.channels)))
        dims = ("t", "z", "y", "x")[-len(header.shape) :]
        notes = header.notes
        if header.channels > 1:
            data, dims = data.movedim(-1, 0).contiguous(), ("channel", *dims)
        else:
            data = data[..., 0]
        if found.trailing:
            notes += ("bytes behind the image were left out",)
        if found.not_finite:
            notes += (f"{found.not_finite} values are not finite",)
        return Image(
            data=data,
            affine=header.affine,
            dims=dims,
            voxel_size=header.voxel_size,
            notes=notes,
            provenance=from_files("metaimage", path, header.voxels.path),
        )
