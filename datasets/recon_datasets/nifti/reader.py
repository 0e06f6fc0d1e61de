"""Reading NIfTI images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Gt

from recon.errors import CodedFileError
from recon.io import Image
from recon.io.metadata import Value
from recon.io.provenance import from_files
from recon_datasets.nifti.gradients import read_tables
from recon_datasets.nifti.header import Form, Header, is_nifti, read_header

__all__ = ["NiftiReader", "read_voxels"]


class NiftiReader:
    """Reads NIfTI-1 and NIfTI-2: ``.nii``, ``.nii.gz``, and pairs of ``.hdr`` and ``.img``, by the name of the header.

    The file's axes (x, y, z, t, v) become (v, t, z, y, x), which is the same memory; t and v only if they are longer
    than 1, v being called "channel", and z only if the file has it. Numbers are ``scl_slope * stored + scl_inter``,
    unless the slope is 0. Large uncompressed files are mapped into memory where their type is kept.

    The affine is the sform if its code is not 0, else the qform if its is not, else unknown; where the two differ by
    more than 0.1 mm within the volume, a note says so. Lengths become mm. Where the header has a step in time with a
    unit, metadata tell the times of volumes. Nothing else of the header, and none of its extensions, is taken over. Of
    a gzip stream, exactly the declared bytes are unpacked, and its checksum is compared.

    Tables of diffusion weighting that lie beside the file under its name, ``.bval`` and ``.bvec`` as FSL has them, fill
    the metadata, with directions turned from the image's axes to RAS+; those that do not fit the image are left out,
    with the note RECON-NIFTI-GRADIENTS.

    Parameters
    ----------
    dtype
        "stored" keeps integers and complex values as they are, while values with a slope become float32, or float64
        where they are stored as integers of more than 16 bits; "float32" makes all values float32 or complex64.
    form
        Which of the file's two affines to take: "standard", "sform" or "qform".
    limit_gb
        Largest image in GiB, as stored, that is read: a small gzip file can hold a huge one.
    """

    def __init__(
        self,
        *,
        dtype: Literal["stored", "float32"] = "stored",
        form: Form = "standard",
        limit_gb: Annotated[float, Gt(0)] = 16.0,
    ) -> None:
        self.dtype = dtype
        self.form = form
        self.limit_gb = limit_gb

    def accepts(self, path: Path) -> bool:
        """Whether the file carries a NIfTI mark, gzipped or not."""
        return path.is_file() and is_nifti(path)

    def read(self, path: Path) -> Image:
        """Read an image.

        Raises
        ------
        CodedFileError
            RECON-NIFTI-HEADER, RECON-NIFTI-AFFINE, RECON-IMAGE-TRUNCATED, RECON-IMAGE-CHECKSUM or RECON-IMAGE-SIZE.
        """
        header = read_header(path, form=self.form, limit=int(self.limit_gb * 2**30))
        shape = header.shape
        if len(shape) > 5 and max(shape[5:]) > 1:
            raise CodedFileError(
                "RECON-NIFTI-HEADER", f"{path} has {len(shape)} axes; at most x, y, z, t and one more are read"
            )
        shape = shape[:5]
        if header.colours and len(shape) == 5 and shape[4] > 1:
            raise CodedFileError("RECON-NIFTI-HEADER", f"{path} has vectors of colours; save one image a colour")
        values, notes = read_voxels(header, shape, float_only=self.dtype == "float32")
        names = ("x", "y", "z", "t", "channel")[: values.ndim]
        dropped = tuple(axis for axis in range(3, values.ndim) if values.shape[axis] == 1)
        volumes = shape[3] if len(shape) > 3 else 1
        tables, beside = read_tables(path, volumes, header.affine)
        facts: dict[str, Value] = {} if header.space is None else {"coordinate_space": header.space}
        facts |= {"times_s": times} if (times := header.times(volumes)) else {}
        dims = [name for axis, name in enumerate(names) if axis not in dropped]
        return Image(
            data=torch.from_numpy(np.ascontiguousarray(values.squeeze(dropped).T)),
            affine=header.affine,
            dims=tuple(dims[::-1]),
            voxel_size=None if header.affine is not None else header.voxel_size,
            metadata=facts | tables,
            notes=(*header.notes, *notes, *beside),
            provenance=from_files("nifti", path, header.voxels.path),
        )


def read_voxels(
    header: Header, shape: tuple[int, ...], *, first: int = 0, float_only: bool = False
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read voxels that lie one after the other; those of colours get a fifth axis.

    Parameters
    ----------
    header
        What the file holds.
    shape
        Shape to give them: the file's, or that of some of its slices or volumes.
    first
        The first voxel to read.
    float_only
        Whether to return float32 or complex64, whatever is stored.

    Returns
    -------
    tuple
        The values in Fortran's order, and notes about them.
    """
    colours = header.colours or 1
    kind = np.dtype("c8" if header.voxels.dtype.kind == "c" else "f4") if float_only else None
    count = int(np.prod(shape, dtype=np.int64))
    found = header.voxels.read(first * colours, count * colours, kind)
    notes = []
    if found.trailing:
        packed = header.voxels.packing != "raw"
        notes.append("bytes behind the image were left out" + (", and no checksum compared" if packed else ""))
    if found.not_finite:
        notes.append(f"{found.not_finite} values are not finite")
    if not header.colours:
        return found.array.reshape(shape, order="F"), tuple(notes)
    pixels = found.array.reshape((colours, *shape), order="F")
    return np.moveaxis(pixels.reshape((colours, *shape, *[1] * (4 - len(shape))), order="F")[..., :], 0, -1), tuple(
        notes
    )
