"""Writing NIfTI images."""

from __future__ import annotations

import gzip
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
import torch

import recon
from recon.errors import UsageError
from recon.io import Image, Measurement
from recon_datasets.nifti.gradients import write_tables

__all__ = ["NiftiWriter"]

_Gzip: type[gzip.GzipFile] = gzip.GzipFile
_LEVEL = 6
with suppress(ImportError):  # the extra `fast`
    from isal.igzip import IGzipFile

    # An eighth of zlib's time, and files of about its size.
    _Gzip, _LEVEL = IGzipFile, 3

_CODES = {"scanner": 1, "aligned": 2, "talairach": 3, "mni": 4}
_NIFTI1_LIMIT = 32767
EVENNESS = 0.01
"""Part of a step by which the clock of a volume may be off even steps: scanners round it, some to 2.5 ms."""


class NiftiWriter:
    """Writes ``.nii`` or ``.nii.gz`` with nibabel: voxels, geometry, the step in time, diffusion weighting beside it.

    Data (channel, t, z, y, x), of which all but (y, x) may be missing, become the file's (x, y, z, t, v). One axis of
    another name takes the place of t. The affine goes into the sform, and into the qform if it has no shear; NIfTI-1
    keeps float32 of it. An image without an affine gets form codes 0, and its voxel size if it has one. Images of over
    32767 voxels along an axis become NIfTI-2. Equal images give equal files, with the same packages installed.

    Volumes at even times (metadata ``times_s``) get their step in pixdim[4], in seconds, others 0, which is unknown. An
    image with a b-value for each volume gets FSL's table ``.bval`` beside it, under the same name, and, if it has
    directions and an affine, ``.bvec``. Nothing else of the source is written.

    Parameters
    ----------
    dtype
        "same" keeps the type of the data: integers and complex values come back bit for bit. "int16" halves floating
        data: integers are written as they are if all values are whole and fit, else values are rounded to 65535 steps
        over their range, off by at most half a step, and get a slope and an intercept.
    """

    def __init__(self, *, dtype: Literal["same", "int16"] = "same") -> None:
        self.dtype = dtype

    def write(self, image: Image | Measurement, path: Path) -> None:
        """Write an image.

        Raises
        ------
        UsageError
            For a measurement, too many axes, integers that need more than 32 bits, and, as int16, values that are
            complex or not finite.
        """
        if not isinstance(image, Image):
            raise UsageError("a NIfTI file holds an image, not a measurement: reconstruct it first, or write .h5")
        values, slope, inter = _voxels(image), 1.0, 0.0
        if self.dtype == "int16":
            values, slope, inter = _as_int16(values)
        kind = nib.Nifti2Image if max(values.shape) > _NIFTI1_LIMIT else nib.Nifti1Image
        file = kind(values, image.affine)
        header = file.header
        if image.affine is not None:
            code = _CODES.get(str(image.metadata.get("coordinate_space")), 1)
            axes = image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)
            orthogonal = np.allclose(axes.T @ axes, np.eye(3), atol=1e-5)
            file.set_qform(image.affine, code if orthogonal else 0, strip_shears=True)
            file.set_sform(image.affine, code)
        else:
            sizes = image.voxel_size or (1.0,) * len(image.space)
            header.set_zooms((*sizes, *[1.0] * (values.ndim - len(sizes))))
            file.set_qform(None, 0)
            file.set_sform(None, 0)
        header.set_xyzt_units("mm", "sec")
        if values.ndim > 3:
            header["pixdim"][4] = _time_step(image)
        header["descrip"] = f"recon {recon.__version__}".encode()
        if (slope, inter) != (1.0, 0.0):
            # nibabel stores raw integers beside these.
            header.set_slope_inter(slope, inter)
        _save(file, path)
        write_tables(image, path)

    def losses(self, image: Image | Measurement) -> list[str]:
        """Return what a file will not tell of an image though the image knows, one sentence each."""
        times = image.metadata.get("times_s")
        if isinstance(times, tuple) and len(times) > 1 and isinstance(image, Image) and not _time_step(image):
            return ["the file does not tell when volumes were measured: NIfTI has even steps in time alone"]
        return []


def _time_step(image: Image) -> float:
    """Return the mean step in time in s; 0 where it is not known or a volume is off by more than `EVENNESS`."""
    times = image.metadata.get("times_s")
    if "t" not in image.dims or not isinstance(times, tuple) or len(times) != image.shape[image.dims.index("t")]:
        return 0.0
    seconds = np.array(times, dtype=np.float64)
    if len(seconds) < 2:
        return 0.0
    step = float(seconds[-1] - seconds[0]) / (len(seconds) - 1)
    even = seconds[0] + step * np.arange(len(seconds))
    return step if step > 0 and np.abs(seconds - even).max() <= EVENNESS * step else 0.0


def _voxels(image: Image) -> np.ndarray:
    """Return (x, y[, z[, t[, v]]]) in a type that NIfTI readers understand."""
    spatial = 3 if "z" in image.dims else 2
    outer = [name for name in image.dims[:-spatial] if name != "channel"]
    if len(outer) > 1:
        raise UsageError(
            f"a NIfTI file holds channel, one more axis, and space; these are {image.dims}: write parts of it"
        )
    data = image.data.detach().resolve_conj().resolve_neg().cpu()
    if data.dtype == torch.bool:
        data = data.to(torch.uint8)
    elif data.dtype in (torch.float16, torch.bfloat16):
        data = data.float()
    elif data.dtype == torch.int64:
        if data.numel() and (data.max() >= 2**31 or data.min() < -(2**31)):
            raise UsageError("integers of more than 32 bits: few readers take them; convert to a floating type")
        data = data.int()
    if "channel" in image.dims:
        data = data.movedim(image.dims.index("channel"), 0)
        shape = (data.shape[0], *(data.shape[1 : 1 + len(outer)] or (1,)), *[1] * (3 - spatial), *image.space)
    elif outer:
        shape = (data.shape[0], *[1] * (3 - spatial), *image.space)
    else:
        shape = image.space
    return data.reshape(shape).numpy().T


def _as_int16(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return int16, slope and intercept."""
    if not np.iscomplexobj(values):
        with np.errstate(invalid="ignore"):  # what does not fit becomes another number
            whole = values.astype(np.int16)
        if (whole == values).all():
            return whole, 1.0, 0.0
    if np.iscomplexobj(values) or not np.isfinite(values).all():
        raise UsageError("values that are complex or not finite do not fit int16: write them with dtype=same")
    low, high = float(values.min()), float(values.max())
    # The header holds float32: what is stored must fit the rounded numbers.
    slope = float(np.nextafter(np.float32((high - low) / (2**16 - 2)), np.float32(np.inf))) if high > low else 1.0
    inter = float(np.float32((high + low) / 2))
    steps = np.rint((values.astype(np.float64) - inter) / slope)
    return np.clip(steps, -(2**15), 2**15 - 1).astype(np.int16), slope, inter


def _save(file: Any, path: Path) -> None:
    if path.name.endswith(".gz"):
        # No time stamp and no name in the gzip header: equal images give equal files.
        with (
            path.open("wb") as raw,
            _Gzip(fileobj=raw, mode="wb", filename="", mtime=0, compresslevel=_LEVEL) as stream,
        ):
            file.to_stream(stream)
    else:
        with path.open("wb") as stream:
            file.to_stream(stream)
