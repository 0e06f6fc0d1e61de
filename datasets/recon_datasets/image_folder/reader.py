"""Pictures as images."""

from __future__ import annotations

from pathlib import Path

from recon.io import Image
from recon.io.provenance import from_files
from recon_datasets.image_folder.pixels import load_picture
from recon_datasets.image_folder.stack import page_count

__all__ = ["PictureReader"]


class PictureReader:
    """Reads PNG, JPEG, BMP and TIFF pictures as images in [0, 1], without a place in a patient."""

    def accepts(self, path: Path) -> bool:
        """Accept every file that carries a picture's mark, but for TIFF of several pages, which is a stack."""
        return path.is_file() and page_count(path) == 1

    def read(self, path: Path) -> Image:
        """Read a gray picture as (y, x), a colour one as (channel, y, x)."""
        values = load_picture(path)
        data, dims = (values[0], ("y", "x")) if len(values) == 1 else (values, ("channel", "y", "x"))
        return Image(data=data, dims=dims, provenance=from_files("picture", path))
