"""What the index knows of a file, and which files a selection keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypedDict

from annotated_types import Ge, Gt, Le

from recon.errors import UsageError
from recon.io.hdf5 import attribute_text, open_hdf5
from recon_datasets.fastmri.header import Header, read_header
from recon_datasets.fastmri.volume import open_volume

__all__ = ["Challenge", "Facts", "Only", "Split", "check_only", "keeps", "look_at", "split_of"]

Challenge = Literal["any", "singlecoil", "multicoil"]
Split = Literal["any", "train", "val", "test", "challenge"]

Numbers = Annotated[int, Gt(0)] | tuple[Annotated[int, Gt(0)], ...]

_FOLDER = re.compile(r"(?:^|_)(?:singlecoil|multicoil)_(train|val|test|challenge)(?:_|$)")


class Only(TypedDict, total=False):
    """Which volumes to take; those that meet all that is given.

    Parameters
    ----------
    acquisition
        Protocols by name, such as CORPD_FBK or AXT2; in the header's spelling.
    coils
        Numbers of coils.
    width
        Numbers of phase-encoding columns.
    volumes
        [first, past the last] of what is left, in the order of the paths: the public halves of validation sets.
    share
        Share of what is left that is drawn at random, by `seed`; at least one volume.
    seed
        Seed of that draw.
    """

    acquisition: str | tuple[str, ...]
    coils: Numbers
    width: Numbers
    volumes: tuple[Annotated[int, Ge(0)], Annotated[int, Ge(0)]]
    share: Annotated[float, Gt(0), Le(1)]
    seed: Annotated[int, Ge(0)]


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


def keeps(only: Only, facts: Facts) -> str | None:
    """Return None if a file meets `only`, else what it is that is not asked for."""
    actual: Mapping[str, Any] = {"acquisition": facts.acquisition, "coils": facts.coils, "width": facts.size[1]}
    for name, value in actual.items():
        wanted = only.get(name)
        if wanted is not None and value not in (wanted if isinstance(wanted, (tuple, list)) else (wanted,)):
            return f"{name} {value}"
    return None


def check_only(only: Only) -> None:
    """Refuse a selection that keeps nothing, whatever the files.

    Raises
    ------
    UsageError
        If ``volumes`` is empty, or ``seed`` stands without ``share``.
    """
    first, end = only.get("volumes", (0, 1))
    if first >= end:
        raise UsageError(f"only.volumes {[first, end]} is empty: [first, past the last]")
    if "seed" in only and "share" not in only:
        raise UsageError("only.seed is the seed of only.share, which is missing")
