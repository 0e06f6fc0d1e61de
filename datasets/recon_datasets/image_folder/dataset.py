"""Pictures below a folder as a dataset."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from torch import Tensor

from recon.io.listing import list_files
from recon_datasets.image_folder.pixels import SUFFIXES, Mode, load_picture

__all__ = ["ImageFolder"]


class ImageFolder:
    """Pictures below a folder, sorted by path.

    Items: ``image`` (channel, H, W) float32 in [0, 1]; 16-bit pictures keep their depth.

    Parameters
    ----------
    root
        Folder, searched with its subfolders, or one file. It is listed on first use.
    mode
        "gray" (one channel, luminance of colour), "rgb" (three) or "file" (what each file has).
    suffixes
        Endings of the files to take.

    Raises
    ------
    FileFormatError
        On first use, if there is no such picture, or one that cannot be read.
    """

    def __init__(self, *, root: Path, mode: Mode = "gray", suffixes: tuple[str, ...] = SUFFIXES) -> None:
        self.root = Path(root)
        self.mode = mode
        self.suffixes = tuple(suffixes)

    @cached_property
    def files(self) -> list[Path]:
        """The pictures' paths, in the order of the items."""
        return list_files(self.root, self.suffixes)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Read one picture."""
        return {"image": load_picture(self.files[index], self.mode)}
