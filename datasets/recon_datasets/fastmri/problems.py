"""What is wrong with a fastMRI file, and what it is, in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import torch

from recon.errors import FileFormatError
from recon.io.hdf5 import attribute_text, open_hdf5
from recon.kspace import crop_centred, ifft_centred, root_sum_of_squares
from recon_datasets.fastmri.header import Header, read_header
from recon_datasets.fastmri.unet_item import unet_crop
from recon_datasets.fastmri.volume import Volume, open_volume

__all__ = ["explain", "find_problems"]

_NOT_THE_SAME = 0.05
"""Relative difference from which a reference is not the reconstruction of its k-space."""


def explain(path: Path) -> dict[str, str]:
    """Return in words how a file is laid out, what was sampled, and what it is to be compared with."""
    with open_hdf5(path) as file:
        volume = open_volume(file, path, mapped=True)
        header = read_header(file, path) or Header()
        columns = volume.size[1]
        kind = "single-coil" if volume.singlecoil else f"multi-coil ({volume.coils})"
        stored = "contiguous, mapped into memory" if volume.mapped else "chunked or compressed, read through HDF5"
        facts = {"fastMRI": f"{kind} file, {len(volume)} slices, {stored}"}
        sampled = columns if volume.mask is None else int(volume.mask.sum())
        share = f"{columns / sampled:.3g}-fold acceleration" if sampled else "nothing"
        how = (
            "fully sampled" if volume.mask is None else f"{sampled} of {columns} columns ({share}), by the file's mask"
        )
        padding = header.padding(columns)
        if padding is not None and padding != (0, columns):
            how += f"; the scanner measured columns {padding[0]} to {padding[1] - 1}"
        facts["sampling"] = how
        if volume.target is None:
            facts["compared with"] = "nothing: the file has no reference reconstruction, like those of test sets"
        else:
            name = "reconstruction_esc" if volume.singlecoil else "reconstruction_rss"
            facts["compared with"] = f"{name}, {volume.target.shape[1]} x {volume.target.shape[2]}"
        return facts


def find_problems(path: Path) -> list[str]:
    """Return one line for each thing that is wrong with a file, the grave ones first; all data are read."""
    try:
        with open_hdf5(path) as file:
            volume = open_volume(file, path)
            return [*_labels(file, path, volume), *_mask(volume), *_data(volume)]
    except FileFormatError as error:
        return [str(error).replace(f"{path}: ", "").replace(f"{path} ", "")]


def _labels(file: h5py.File, path: Path, volume: Volume) -> Iterator[str]:
    """Tell what attributes and header lack, or have that does not fit."""
    if attribute_text(file, "acquisition") is None:
        yield "no attribute 'acquisition': evaluation by protocol will leave the file out"
    if volume.target is not None and volume.maximum is None:
        yield "no attribute 'max': the largest value of the reference has to be searched for"
    if volume.mask is not None:
        for name in ("acceleration", "num_low_frequency"):
            if name not in file.attrs:
                yield f"no attribute {name!r}, which files with a mask have"
    try:
        header = read_header(file, path)
    except FileFormatError as error:
        yield str(error).replace(f"{path}: ", "")
        return
    if header is None:
        yield "no dataset 'ismrmrd_header': voxel size, crop and padding are not known"
        return
    if header.crop is None:
        yield "the header states no reconSpace matrix: what to crop to is not known"
    elif volume.target is not None and tuple(volume.target.shape[1:]) != header.crop:
        yield f"the reference is {_times(volume.target.shape[1:])}, the header says {_times(header.crop)}"
    if header.encoded is not None and header.encoded != volume.size:
        yield f"k-space is {_times(volume.size)}, the header says {_times(header.encoded)}"
    if header.stated_padding is None:
        yield "the header states no limits of kspace_encoding_step_1: which columns were measured is not known"
    else:
        first, end = header.stated_padding
        columns = volume.size[1]
        if not 0 <= first < end <= columns:
            yield f"the header puts the measured columns at {first} to {end - 1}, outside of 0 to {columns - 1}"


def _mask(volume: Volume) -> Iterator[str]:
    if volume.mask is None:
        return
    if not volume.mask.any():
        yield "the mask is all zero: nothing was sampled"
    elif not volume.mask[volume.size[1] // 2]:
        yield "the mask leaves out the centre of k-space"


def _data(volume: Volume) -> Iterator[str]:
    """Tell what is wrong with the values; each kind of fault once, with the slices it is in."""
    found: dict[str, list[int]] = {}

    def tell(what: str, slice_: int) -> None:
        found.setdefault(what, []).append(slice_)

    largest = 0.0
    for number in range(len(volume)):
        try:
            kspace = volume.kspace_of(number)
            target = volume.target_of(number)
        except (OSError, RuntimeError, LookupError, ValueError) as error:  # as h5py reports damage
            tell(f"cannot be read ({' '.join(str(error).split())})", number)
            continue
        finite = bool(torch.isfinite(torch.view_as_real(kspace)).all())
        if not finite:
            tell("k-space holds values that are not finite", number)
        elif not bool(kspace.any()):
            tell("k-space is all zero", number)
        if volume.mask is not None:
            outside = torch.view_as_real(kspace[..., torch.from_numpy(~volume.mask)])
            if bool(outside.any()):
                tell("k-space is not zero where the mask says that nothing was sampled", number)
            elif bool(torch.signbit(outside).any()):
                tell("zeros of k-space have a sign, which tells of what was masked", number)
        if target is None:
            continue
        if not bool(torch.isfinite(target).all()):
            tell("the reference holds values that are not finite", number)
        else:
            largest = max(largest, float(target.max()))
            if finite and volume.mask is None and number == len(volume) // 2:
                off = _off(kspace, target)
                if off is not None and off > _NOT_THE_SAME:
                    tell(f"the reference is not the reconstruction of its k-space (they differ by {off:.0%})", number)
    for what, slices in found.items():
        yield f"{_slices(slices, len(volume))}{what}"
    stated = volume.maximum
    if volume.target is not None and stated is not None and largest > 0 and abs(stated - largest) > 1e-3 * largest:
        yield f"attribute 'max' is {stated:.6g}, the largest value of the reference {largest:.6g}"
    if volume.target is None and volume.mask is None:
        yield "neither a reference nor a mask: there is nothing to train with or to reconstruct"


def _off(kspace: torch.Tensor, target: torch.Tensor) -> float | None:
    """Return the relative difference of a reference and the image of its k-space; None where sizes do not tell."""
    size = (int(target.shape[0]), int(target.shape[1]))
    if unet_crop((kspace.shape[-2], kspace.shape[-1]), size) != size or size[0] > kspace.shape[-2]:
        return None
    image = root_sum_of_squares(crop_centred(ifft_centred(kspace), size), dim=0)[0]
    return float(torch.linalg.vector_norm(image - target) / torch.linalg.vector_norm(target).clamp(min=1e-30))


def _slices(numbers: list[int], count: int) -> str:
    if len(numbers) == count:
        return "every slice: "
    shown = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
    return f"slice{'s' if len(numbers) > 1 else ''} {shown}: "


def _times(shape: tuple[int, ...] | np.ndarray) -> str:
    return " x ".join(str(int(size)) for size in shape)
