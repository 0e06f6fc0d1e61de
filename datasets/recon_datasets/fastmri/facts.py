"""What the index knows of a file, and which files a selection keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from annotated_types import Ge, Gt, Le

from recon.errors import ParameterError
from recon.io.hdf5 import attribute_text, open_hdf5
from recon.schema import validate
from recon_datasets.fastmri.header import Header, read_header
from recon_datasets.fastmri.volume import open_volume

__all__ = ["Challenge", "Facts", "Only", "Split", "look_at", "split_of"]

Challenge = Literal["any", "singlecoil", "multicoil"]
Split = Literal["any", "train", "val", "test", "challenge"]

Numbers = Annotated[int, Gt(0)] | tuple[Annotated[int, Gt(0)], ...]

_FOLDER = re.compile(r"(?:^|_)(?:singlecoil|multicoil)_(train|val|test|challenge)(?:_|$)")


@dataclass(frozen=True, kw_only=True)
class Only:
    """Which volumes to take: those that meet all that is given.

    Parameters
    ----------
    acquisition
        Protocol, or several, such as CORPD_FBK or AXT2.
    coils
        Number of coils, or several.
    width
        Number of phase-encoding columns, or several.
    volumes
        [first, past the last] of what is left, in the order of the paths: halves of validation sets.
    share
        Share of what is left that is drawn at random; at least one volume.
    seed
        Seed of that draw.
    """

    acquisition: str | tuple[str, ...] | None = None
    coils: Numbers | None = None
    width: Numbers | None = None
    volumes: tuple[Annotated[int, Ge(0)], Annotated[int, Ge(0)]] | None = None
    share: Annotated[float, Gt(0), Le(1)] = 1.0
    seed: Annotated[int, Ge(0)] = 0

    @classmethod
    def parse(cls, config: Mapping[str, Any] | None) -> Only:
        """Make one from a config such as ``{"acquisition": "CORPD_FBK", "width": [368, 372]}``.

        Raises
        ------
        ParameterError
            If a name is unknown or a value cannot be.
        """
        try:
            found = cls(**validate(cls, config or {}, ""))
        except ParameterError as error:
            raise ParameterError("", [(("only", *path), message) for path, message in error.problems]) from None
        if found.volumes is not None and found.volumes[0] >= found.volumes[1]:
            raise ParameterError("", [(("only", "volumes"), f"{list(found.volumes)} is empty: [first, past the last]")])
        return found

    def against(self, facts: Facts) -> str | None:
        """Return None if a file has what is asked for, else what it has instead."""
        actual: Mapping[str, Any] = {"acquisition": facts.acquisition, "coils": facts.coils, "width": facts.size[1]}
        for name, value in actual.items():
            wanted = getattr(self, name)
            if wanted is not None and value not in (wanted if isinstance(wanted, tuple) else (wanted,)):
                return f"{name} {value}"
        return None

    def some(self, count: int) -> list[int]:
        """Return which of `count` volumes that are left are taken, by `volumes` and then by `share`."""
        numbers = list(range(count))[slice(*self.volumes) if self.volumes is not None else slice(None)]
        if self.share == 1 or not numbers:
            return numbers
        order = torch.randperm(len(numbers), generator=torch.Generator().manual_seed(self.seed)).tolist()
        return sorted(numbers[i] for i in order[: max(1, round(len(numbers) * self.share))])


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What need be known of a file to index its slices.

    Parameters
    ----------
    slices, coils, size
        Of k-space; size is (H, W), coils is 1 for single-coil files.
    singlecoil
        Whether it is a single-coil file.
    reference
        (h, w) of the reference reconstruction; None if there is none.
    masked
        Whether the file brings a mask.
    acquisition
        Name of the protocol.
    crop
        (h, w) of a reconstruction: of the reference, else as the header states it.
    padding
        Columns (first, past the last) that were measured, clipped to the matrix.
    """

    slices: int
    coils: int
    size: tuple[int, int]
    singlecoil: bool
    reference: tuple[int, int] | None
    masked: bool
    acquisition: str | None
    crop: tuple[int, int] | None
    padding: tuple[int, int] | None

    @classmethod
    def parse(cls, kept: Any) -> Self | None:
        """Make them from what JSON kept; None if that is something else."""
        pairs = ("size", "reference", "crop", "padding")
        try:
            values: dict[str, Any] = dict(kept)
            values |= {name: tuple(values[name]) for name in pairs if values[name] is not None}
            found = cls(**values)
            sound = len(found.size) == 2 and all(int(n) > 0 for n in (found.slices, found.coils, *found.size))
        except (TypeError, ValueError, KeyError):
            return None
        return found if sound else None


def look_at(path: Path) -> Facts:
    """Read what the index needs of a file, and nothing of its data.

    Raises
    ------
    FileFormatError
        If it is not a fastMRI file, or damaged.
    """
    with open_hdf5(path) as file:
        volume = open_volume(file, path)
        header = read_header(file, path) or Header()
        reference = None
        if volume.target is not None:
            reference = (int(volume.target.shape[1]), int(volume.target.shape[2]))
        return Facts(
            slices=len(volume),
            coils=volume.coils,
            size=volume.size,
            singlecoil=volume.singlecoil,
            reference=reference,
            masked=volume.mask is not None,
            acquisition=attribute_text(file, "acquisition"),
            crop=reference or header.crop,
            padding=header.padding(volume.size[1]),
        )


def split_of(path: Path, root: Path) -> str | None:
    """Return the split that the innermost folder named like ``multicoil_val`` says, from `root` itself downwards."""
    folders = (
        [root.absolute().name, *path.relative_to(root).parts[:-1]] if path != root else [path.absolute().parent.name]
    )
    found = [match[1] for folder in folders if (match := _FOLDER.search(folder))]
    return found[-1] if found else None
