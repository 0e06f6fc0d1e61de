"""From picture files to tensors."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageOps
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from recon.errors import FileFormatError

__all__ = ["SUFFIXES", "Mode", "load_picture"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
Mode = Literal["gray", "rgb", "file"]

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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Pillow.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
            with Pillow.open(path) as picture:
                values = _values(picture, path)
    except FileNotFoundError:
        raise FileFormatError(f"{path} does not exist") from None
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning) as error:
        raise FileFormatError(f"{path} declares too many pixels: {error}") from None
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise FileFormatError(f"{path} is not a readable picture (damaged or cut off?): {error}") from error
    if mode == "gray" and values.ndim == 3:
        values = values @ _LUMINANCE
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    tensor = tensor[None] if tensor.ndim == 2 else tensor.movedim(-1, 0).contiguous()
    return tensor.expand(3, -1, -1).contiguous() if mode == "rgb" and len(tensor) == 1 else tensor


def _values(picture: Pillow.Image, path: Path) -> np.ndarray:
    pages = getattr(picture, "n_frames", 1)
    if pages > 1:
        raise FileFormatError(f"{path} has {pages} pages; save each as a picture of its own")
    bits = _bits(picture, path)
    picture = ImageOps.exif_transpose(picture)
    mode = picture.mode
    if mode == "F":
        return np.array(picture, dtype=np.float32)
    if mode.startswith("I;16") or (mode == "I" and bits == 16):
        return np.asarray(picture).astype(np.float32) / 65535
    if mode == "1":
        return np.asarray(picture, dtype=np.float32)
    if mode == "I" or bits > 8:
        raise FileFormatError(f"{path} has {bits}-bit {mode} pixels, which cannot be read without loss; convert it")
    gray = mode in ("L", "LA")
    return np.asarray(picture.convert("L" if gray else "RGB"), dtype=np.float32) / 255


def _bits(picture: Pillow.Image, path: Path) -> int:
    """Bits per channel as the file has them: Pillow reduces 16-bit colour to 8 bits without a word."""
    if picture.format == "PNG":
        with path.open("rb") as file:
            return file.read(25)[24]
    if isinstance(picture, TiffImageFile):
        return int(max(np.atleast_1d(picture.tag_v2.get(258, 1))))
    return 8
