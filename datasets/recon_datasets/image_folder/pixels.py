"""From picture files to tensors."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageOps
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from recon.errors import FileFormatError

__all__ = ["SUFFIXES", "Mode", "load_picture", "opened", "stored_values"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
Mode = Literal["gray", "rgb", "file"]

# What Pillow raises on damaged files.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, OverflowError, struct.error)

# Luminance of ITU-R BT.601, as in Pillow's and MATLAB's conversion, but in floating point: no rounding to 8 bits.
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def load_picture(path: Path, mode: Mode = "file") -> Tensor:
    """Read a picture as float32 (1, H, W) or (3, H, W).

    8-bit and 16-bit values are divided by 255 and 65535; floating-point TIFF values stay as they are. Orientation tags
    are applied, palettes expanded, opacity dropped.

    Parameters
    ----------
    path
        The file.
    mode
        "gray" makes luminance 0.299 R + 0.587 G + 0.114 B of colour, "rgb" repeats gray, "file" keeps what there is.

    Raises
    ------
    FileFormatError
        If the file is damaged or of a kind that Pillow would read with a loss: 16-bit colour, several pages.
    """
    with opened(path) as picture:
        pages = getattr(picture, "n_frames", 1)
        if pages > 1:
            raise FileFormatError(f"{path} has {pages} pages; save each as a picture of its own")
        stored, top = stored_values(picture, path)
    values = stored.astype(np.float32)
    values /= top
    if mode == "gray" and values.ndim == 3:
        values = values @ _LUMINANCE
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    tensor = tensor[None] if tensor.ndim == 2 else tensor.movedim(-1, 0).contiguous()
    return tensor.expand(3, -1, -1).contiguous() if mode == "rgb" and len(tensor) == 1 else tensor


@contextmanager
def opened(path: Path) -> Iterator[Pillow.Image]:
    """Open a picture with Pillow.

    Raises
    ------
    FileFormatError
        If it is missing, damaged, or too large; also for damage found inside the block.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Pillow.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
            with Pillow.open(path) as picture:
                yield picture
    except FileNotFoundError:
        raise FileFormatError(f"{path} does not exist") from None
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning) as error:
        raise FileFormatError(f"{path} declares too many pixels: {error}") from None
    except _DAMAGE as error:
        raise FileFormatError(f"{path} is not a readable picture (damaged or cut off?): {error}") from error


def stored_values(picture: Pillow.Image, path: Path) -> tuple[np.ndarray, float]:
    """Return the pixels of an open picture, (H, W) or (H, W, 3), and what stands for 1.

    Raises
    ------
    FileFormatError
        If Pillow would read them with a loss.
    """
    bits = _bits(picture, path)
    picture = ImageOps.exif_transpose(picture)
    mode = picture.mode
    if mode == "F":
        return np.array(picture, dtype=np.float32), 1.0
    if mode.startswith("I;16") or (mode == "I" and bits == 16):
        return np.asarray(picture).astype(np.int32), 65535.0
    if mode == "1":
        return np.asarray(picture, dtype=np.uint8), 1.0
    if mode == "I" or bits > 8:
        raise FileFormatError(f"{path} has {bits}-bit {mode} pixels, which cannot be read without loss; convert it")
    gray = mode in ("L", "LA")
    return np.array(picture.convert("L" if gray else "RGB")), 255.0


def _bits(picture: Pillow.Image, path: Path) -> int:
    """Bits per channel as the file has them: Pillow reduces 16-bit colour to 8 bits without a word."""
    if picture.format == "PNG":
        with path.open("rb") as file:
            return file.read(25)[24]
    if isinstance(picture, TiffImageFile):
        return int(max(np.atleast_1d(picture.tag_v2.get(258, 1))))
    return 8
