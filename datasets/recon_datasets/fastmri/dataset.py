"""Slices or volumes of fastMRI files as a dataset."""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import h5py
import numpy as np
import torch
from annotated_types import Gt
from torch import Tensor

from recon.building import build
from recon.errors import FileFormatError, UsageError
from recon.kspace import ifft_centred
from recon_datasets.fastmri.facts import Challenge, Facts, Only, Split, split_of
from recon_datasets.fastmri.index import index_files
from recon_datasets.fastmri.unet_item import unet_crop, unet_item
from recon_datasets.fastmri.volume import Volume, open_volume

__all__ = ["FastMRI"]


class FastMRI:
    """Slices or volumes of the fastMRI files below a folder.

    Every item holds ``volume`` and (of slices) ``slice``, numbers; ``maximum``, the largest value of the volume's
    reference, for metrics; and, by `form`:

    ============== ========================================= =============================================
    form           holds                                     for
    ============== ========================================= =============================================
    "kspace"       ``measurement`` (coil, H, W) complex64,   regimes pairs and measurements, VarNet:
                   ``image`` (1, h, w) the reference,        `fourier` without a mask takes the item's
                   ``mask`` (1, 1, W) boolean, ``crop``,
                   ``num_low_frequencies``
    "coils"        ``image`` (coil, H, W) complex64, the     regime operator: k-space is simulated anew,
                   coil images; ``target`` (1, h, w), the    with a new mask at every step
                   reference; the rest as of "kspace"
    "unet"         ``measurement`` (1, h, w) and ``image``   regime pairs: what fastMRI's U-Net is trained
                   (1, h, w), zero-filled image and          on, made several times faster than there
                   reference, normalised and clamped;
                   ``mean``, ``std``, ``reference``
    ============== ========================================= =============================================

    Nothing of "kspace" and "coils" is cropped or normalised. ``crop`` is (h, w) of a reconstruction, as the reference
    or the header has it; ``num_low_frequencies`` counts the columns sampled without a gap to both sides of the centre.
    For "unet", x = (image - mean) / (std + 1e-11) clamped to +-6, with mean and unbiased deviation of the zero-filled
    image, the root sum of squares over the coils; the reference is normalised by the same numbers, and ``reference`` is
    as it was. Files without a reference (the published test sets) give none, and no ``maximum``. Items of volumes hold
    slices where those of slices hold channels: ``measurement`` (slice, coil, H, W), ``image`` (slice, h, w).

    A file's own mask is honoured, and so are the columns that were never measured (padding), clipped to the matrix.
    Masked k-space is +0 where nothing was sampled.

    Widths and sizes differ from volume to volume. Batches of one shape are made with ``data.bucket: true``, which asks
    `buckets`. K-space is not padded to one width: that would be an image of other pixels.

    Values of contiguous files are mapped into memory, others read through HDF5. Every process opens files of its own,
    on first use, and keeps the last few open. Headers are indexed once, see `index`.

    Parameters
    ----------
    root
        Folder, searched with its subfolders for .h5 files, or one file. Hidden files are ignored.
    challenge
        Take single-coil or multi-coil files alone.
    split
        Take the files alone that lie in a folder named after this split, such as ``multicoil_val`` or
        ``brain_multicoil_test_batch_0``.
    only
        Which volumes to take, such as ``{"acquisition": "CORPD_FBK", "width": [368, 372]}``; see `Only`.
    items
        "slices" or "volumes".
    form
        What items hold.
    mask
        Sampling of fully sampled files, as `fourier` takes it, such as
        ``{"kind": "fastmri_random", "acceleration": 4, "center_fraction": 0.08}``. Its seed is the name of the file, as
        in fastMRI's validation, unless a seed is given. Not for "coils".
    scale
        Factor on all that is in the files' units: these are about 1e-4, networks want about 1. What is normalised is
        so independent of it.
    index
        File to keep the index of headers in. By default ``$XDG_CACHE_HOME/recon`` (~/.cache/recon) has one for
        folders of 64 files or more. A place that cannot be written is no error.
    keep_open
        Number of files that a process keeps open.

    Raises
    ------
    FileFormatError
        On first use, if there is no file, or one that is not fastMRI's; if none is left by what is asked for; if some
        have a reference and some do not; if one is undersampled and `form` is "coils".
    UsageError
        If `mask` or `only` cannot be.

    References
    ----------
    Knoll et al., Radiol. Artif. Intell. 2:e190007, 2020, doi:10.1148/ryai.2020190007
    """

    def __init__(
        self,
        *,
        root: Path,
        challenge: Challenge = "any",
        split: Split = "any",
        only: Mapping[str, Any] | None = None,
        items: Literal["slices", "volumes"] = "slices",
        form: Literal["kspace", "coils", "unet"] = "kspace",
        mask: Mapping[str, Any] | None = None,
        scale: Annotated[float, Gt(0)] = 1.0,
        index: Path | None = None,
        keep_open: Annotated[int, Gt(0)] = 8,
    ) -> None:
        if form == "coils" and mask is not None:
            raise UsageError("form 'coils' gives images that an operator samples: set the mask there (forward)")
        self._only = Only.parse(only)
        self.root = Path(root)
        self.challenge = challenge
        self.split = split
        self.only = only
        self.items = items
        self.form = form
        self.mask = mask
        self.scale = scale
        self.index = index
        self.keep_open = keep_open
        self._open: OrderedDict[int, tuple[h5py.File | None, Volume]] = OrderedDict()
        self._masks: dict[tuple[int, bool], tuple[Tensor, int]] = {}
        self._process = os.getpid()

    @cached_property
    def volumes(self) -> list[tuple[Path, Facts]]:
        """The files that are taken, in the order of the items, with what the index knows of them."""
        indexed = index_files(self.root, None if self.index is None else Path(self.index))
        kept, left_out = [], Counter[str]()
        for path, facts in indexed:
            kind = "singlecoil" if facts.singlecoil else "multicoil"
            reason = self._only.against(facts)
            if self.challenge not in ("any", kind):
                reason = kind
            elif self.split != "any" and (split := split_of(path, self.root)) != self.split:
                reason = f"in no folder of a split (like {kind}_val)" if split is None else f"of split {split}"
            if reason is None:
                kept.append((path, facts))
            else:
                left_out[reason] += 1
        kept = [kept[number] for number in self._only.some(len(kept))]
        if not kept:
            reasons = ", ".join(f"{reason} ({count})" for reason, count in left_out.most_common(4))
            reasons = reasons or f"only.volumes {list(self._only.volumes or ())}"
            raise FileFormatError(f"{self.root} holds {len(indexed)} files, none of which is asked for: {reasons}")
        self._check(kept)
        return kept

    @cached_property
    def rows(self) -> np.ndarray:
        """One row (volume, slice) per item; slice is -1 for volumes."""
        numbered = enumerate(facts.slices for _, facts in self.volumes)
        cuts = [(number, cut) for number, count in numbered for cut in (range(count) if self._slices else (-1,))]
        return np.array(cuts)

    @property
    def files(self) -> list[Path]:
        """The volumes' paths, in the order of the items."""
        return [path for path, _ in self.volumes]

    def buckets(self) -> list[int]:
        """Return a number for each item, the same for items of the same shape: these can stand in one batch."""
        numbers: dict[tuple[Any, ...], int] = {}
        labels = []
        for _, facts in self.volumes:
            shape: tuple[Any, ...] = (facts.coils, facts.size, facts.reference)
            if self.form == "unet":
                shape = unet_crop(facts.size, facts.crop or facts.size)
            labels.append(numbers.setdefault(shape if self._slices else (*shape, facts.slices), len(numbers)))
        return [labels[number] for number in self.rows[:, 0]]

    def __len__(self) -> int:
        """Return the number of slices or volumes."""
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Read one slice or volume."""
        number, cut = (int(value) for value in self.rows[index])
        path, facts = self.volumes[number]
        try:
            volume = self._volume(number)
            if volume.size != facts.size or len(volume) != facts.slices:
                raise FileFormatError(f"{path} has changed since it was indexed")
            return self._item(volume, number, cut)
        except (OSError, RuntimeError, LookupError, ValueError) as error:  # as h5py reports damage
            reason = " ".join(str(error).split())
            place = f"slice {cut}" if cut >= 0 else "the volume"
            raise FileFormatError(f"{path}: {place} cannot be read: {reason}") from error

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind."""
        return self.__dict__ | {"_open": OrderedDict(), "_process": None}

    @property
    def _slices(self) -> bool:
        return self.items == "slices"

    def _check(self, volumes: list[tuple[Path, Facts]]) -> None:
        (_, first), *_ = volumes
        for path, facts in volumes:
            if (facts.reference is None) != (first.reference is None):
                raise FileFormatError(f"{path}: some files below {self.root} have a reference and some do not")
            if self.form == "coils" and facts.masked:
                raise FileFormatError(f"{path} is undersampled: form 'coils' needs fully sampled files")
            if self.form == "unet":
                if facts.crop is None:
                    raise FileFormatError(f"{path} states no size to crop to: it has neither reference nor header")
                crop = unet_crop(facts.size, facts.crop)
                if any(want > have for want, have in zip(crop, facts.size, strict=True)):
                    raise FileFormatError(f"{path}: {crop} cannot be cropped from an image of {facts.size}")

    def _item(self, volume: Volume, number: int, cut: int) -> dict[str, Tensor]:
        item = {"volume": torch.tensor(number)}
        if self._slices:
            item["slice"] = torch.tensor(cut)
        if volume.target is not None:
            maximum = volume.maximum if volume.maximum is not None else float(np.max(volume.target[()]))
            item["maximum"] = torch.tensor(maximum * self.scale)
        make = self._unet if self.form == "unet" else self._kspace
        if self._slices:
            return item | make(volume, number, cut)
        parts = [make(volume, number, each) for each in range(len(volume))]
        # Slices take the place of the one channel of an image; the sampling and the size are the volume's.
        channel = {"kspace": {"image"}, "coils": {"target"}, "unet": {"measurement", "image", "reference"}}[self.form]
        for name in parts[0]:
            if name in ("mask", "crop", "num_low_frequencies"):
                item[name] = parts[0][name]
            else:
                values = torch.stack([part[name] for part in parts])
                item[name] = values[:, 0] if name in channel else values
        return item

    def _kspace(self, volume: Volume, number: int, cut: int) -> dict[str, Tensor]:
        facts = self.volumes[number][1]
        mask, run = self._mask(volume, number, padded=True)
        kspace = volume.kspace_of(cut, own=True)
        if self.scale != 1:
            kspace *= self.scale
        if self.mask is not None and volume.mask is None:
            kspace = torch.where(mask, kspace, 0)
        item = {"measurement": kspace, "mask": mask.clone(), "num_low_frequencies": torch.tensor(run)}
        if facts.crop is not None:
            item["crop"] = torch.tensor(facts.crop)
        target = volume.target_of(cut)
        if target is not None:
            item["image"] = target[None] * self.scale
        if self.form == "coils":
            reference = {"target": item["image"]} if target is not None else {}
            return item | {"image": ifft_centred(item["measurement"])} | reference
        return item

    def _unet(self, volume: Volume, number: int, cut: int) -> dict[str, Tensor]:
        facts = self.volumes[number][1]
        mask, _ = self._mask(volume, number, padded=False)
        kspace = volume.kspace_of(cut)
        if mask.shape[-2] > 1:  # samples within columns
            kspace, mask = torch.where(mask, kspace, 0), mask.any(-2, keepdim=True)
        columns = None if volume.mask is None and self.mask is None else mask.reshape(-1).nonzero()[:, 0]
        crop = unet_crop(facts.size, facts.crop or facts.size)
        made = unet_item(kspace, columns, crop, volume.target_of(cut))
        item = {"measurement": made.image[None], "mean": made.mean * self.scale, "std": made.std * self.scale}
        if made.target is not None and made.reference is not None:
            item |= {"image": made.target[None], "reference": made.reference[None] * self.scale}
        return item

    def _mask(self, volume: Volume, number: int, *, padded: bool) -> tuple[Tensor, int]:
        """Return where k-space is sampled, (1, 1, W) or (1, H, W), and the columns without a gap about the centre.

        Where it is not `padded`, the padding counts as sampled: fastMRI's U-Net knows of none.
        """
        known = self._masks.get((number, padded))
        if known is not None:
            return known
        path, facts = self.volumes[number]
        if volume.mask is not None:
            mask = torch.from_numpy(volume.mask)
        elif self.mask is None:
            mask = torch.ones(volume.size[1], dtype=torch.bool)
        else:
            operator: Any = build("operator", "fourier", mask={"seed": path.name, **self.mask})
            mask = operator.mask_for(volume.size)
        mask = mask.expand(1, 1 if mask.ndim == 1 else mask.shape[-2], volume.size[1]).clone()
        if padded and facts.padding is not None:
            mask[..., : facts.padding[0]] = False
            mask[..., facts.padding[1] :] = False
        known = self._masks[number, padded] = mask, _central_run(mask)
        return known

    def _volume(self, number: int) -> Volume:
        if self._process != os.getpid():  # HDF5 handles do not survive a fork
            self._open, self._process = OrderedDict(), os.getpid()
        if number not in self._open:
            path = self.volumes[number][0]
            file: h5py.File | None = h5py.File(path, "r")
            volume = open_volume(file, path, mapped=True)
            if volume.mapped and file is not None:
                file.close()
                file = None
            self._open[number] = (file, volume)
            while len(self._open) > self.keep_open:
                _close(self._open.popitem(last=False)[1][0])
        self._open.move_to_end(number)
        return self._open[number][1]


def _close(file: h5py.File | None) -> None:
    if file is not None:
        file.close()


def _central_run(mask: Tensor) -> int:
    """Count the columns sampled without a gap, as many to the right of the centre as to the left."""
    columns = mask.reshape(-1, mask.shape[-1]).all(0).int()
    middle = len(columns) // 2
    left, right = columns[:middle].flip(0).cumprod(0).sum(), columns[middle:].cumprod(0).sum()
    return 2 * int(torch.minimum(left, right))
