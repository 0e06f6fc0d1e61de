"""Images as other libraries hold them: numpy, nibabel, MONAI, TorchIO. They are imported when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from recon.errors import MissingDependencyError, UsageError
from recon.io.geometry import Affine, ras_lps, spacing
from recon.io.image import Image
from recon.io.layout import SPACE
from recon.io.metadata import QUANTITIES, UNITS

__all__ = [
    "from_metatensor",
    "from_nibabel",
    "from_numpy",
    "from_torchio",
    "to_metatensor",
    "to_nibabel",
    "to_numpy",
    "to_torchio",
]

_INVENTED = "the identity affine was taken for none: its library makes one up where it knows none"
_TO_MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}
_WIDER = {"uint16": "int32", "uint32": "int64", "float128": "float64", "complex256": "complex128"}


def to_numpy(image: Image) -> tuple[NDArray[Any], Affine | None]:
    """Return the values indexed [x, y, z, *others], as nibabel, nilearn and DIPY do, and the affine to RAS+ mm.

    The array is a view of the image's memory where it can be. ``np.asarray(image)`` has the order of `Image.dims`.
    """
    values = np.asarray(image)
    space = len(image.space)
    return values.transpose(*range(values.ndim - 1, values.ndim - 1 - space, -1), *range(values.ndim - space)), (
        image.affine
    )


def from_numpy(
    values: ArrayLike | Tensor,
    affine: ArrayLike | None = None,
    *,
    dims: Sequence[str] = ("x", "y", "z"),
    unit: str = "arbitrary",
    quantity: str | None = None,
) -> Image:
    """Return an image of an array whose axes have any order.

    Parameters
    ----------
    values
        Array or tensor; not copied where torch has its type.
    affine
        4x4, index (x, y, z, 1) to RAS+ mm, whatever the order of the axes is; None if it is not known.
    dims
        Name of each axis of `values`, such as ("z", "y", "x") or ("channel", "x", "y", "z"); by default nibabel's.
    unit, quantity
        As for `Image`.

    Raises
    ------
    UsageError
        If the names do not fit the array.
    """
    data = values if isinstance(values, Tensor) else _tensor(np.asarray(values))
    names = tuple(dims)
    if len(names) != data.ndim or len(set(names)) != len(names) or not {"y", "x"} <= set(names):
        raise UsageError(
            f"dims {names} do not name the axes of an array of shape {tuple(data.shape)}: one distinct name per axis, "
            "'x' and 'y' among them"
        )
    order = [name for name in names if name not in SPACE] + [name for name in SPACE if name in names]
    data = data.permute([names.index(name) for name in order])
    checked = None if affine is None else np.asarray(affine, dtype=np.float64)
    return Image(data=data, affine=checked, dims=tuple(order), unit=unit, quantity=quantity)


def to_nibabel(image: Image) -> Any:
    """Return a ``nibabel.Nifti1Image``, indexed [x, y, z, t, channel]; without an affine, both form codes are 0.

    Booleans become uint8 and half precision single, which NIfTI has; complex values stay complex.

    Raises
    ------
    UsageError
        If there are axes beside t and channel, or two that could be t.
    """
    nib = _library("nibabel")
    space = len(image.space)
    others = [name for name in image.dims[:-space] if name != "channel"]
    if len(others) > 1:
        raise UsageError(
            f"NIfTI holds channel, one more axis, and space; these are {', '.join(image.dims)}: pick parts"
        )
    data = image.data
    if "channel" in image.dims:
        data = data.movedim(image.dims.index("channel"), 0)
        data = data if others else data.unsqueeze(1)
    if data.ndim > space:
        data = data if space == 3 else data.unsqueeze(-3)
    data = data.to(_STORED.get(data.dtype, data.dtype))
    values = data.detach().resolve_conj().resolve_neg().cpu().numpy().T
    file = nib.Nifti1Image(values, image.affine, dtype=values.dtype)
    if image.affine is not None:
        file.header.set_xyzt_units("mm", "sec")
        return file
    sizes = image.voxel_size or (1.0,) * space
    file.header.set_zooms((*sizes, *[1.0] * (values.ndim - len(sizes))))
    file.header.set_xyzt_units("unknown" if image.voxel_size is None else "mm", "sec")
    file.set_qform(None, 0)
    file.set_sform(None, 0)
    return file


_STORED = {torch.bool: torch.uint8, torch.float16: torch.float32, torch.bfloat16: torch.float32}


def from_nibabel(file: Any, *, unit: str = "arbitrary", quantity: str | None = None) -> Image:
    """Return the image that nibabel holds: any of its spatial images, in memory or on disk.

    Integers without a slope keep their type, scaled values become float32, complex ones stay complex. The affine is
    nibabel's, in mm where the header has another unit of length. A NIfTI header whose form codes are both 0 tells no
    orientation: the voxel size is kept, nibabel's guess is not.

    Raises
    ------
    UsageError
        For more than five axes.
    """
    proxy = file.dataobj
    plain = getattr(proxy, "slope", 1) == 1 and getattr(proxy, "inter", 0) == 0
    values = np.asarray(proxy.get_unscaled() if plain and hasattr(proxy, "get_unscaled") else proxy)
    if not plain and values.dtype == np.float64:
        values = values.astype(np.float32)
    if values.ndim > 5:
        raise UsageError(f"{values.ndim} axes; an image of nibabel's may have x, y, z, t and channel")
    dropped = tuple(axis for axis in range(3, values.ndim) if values.shape[axis] == 1)
    names = [name for axis, name in enumerate(("x", "y", "z", "t", "channel")[: values.ndim]) if axis not in dropped]
    header = file.header
    scale = _TO_MM.get(header.get_xyzt_units()[0], 1.0) if hasattr(header, "get_xyzt_units") else 1.0
    known = not hasattr(header, "get_sform") or bool(int(header["sform_code"]) or int(header["qform_code"]))
    affine = None
    if known and file.affine is not None:
        affine = np.diag([scale, scale, scale, 1.0]) @ np.asarray(file.affine, dtype=np.float64)
    image = from_numpy(values.squeeze(dropped), affine, dims=names, unit=unit, quantity=quantity)
    if affine is not None:
        return image
    sizes = tuple(float(size) * scale for size in header.get_zooms()[: len(image.space)])
    return replace(image, voxel_size=sizes if all(size > 0 for size in sizes) else None)


def to_metatensor(image: Image) -> Any:
    """Return a MONAI ``MetaTensor``, (channel, x, y, z) or (channel, x, y), with the affine in RAS+ mm.

    At most one axis beside space becomes MONAI's channel; without any, the channel has size 1. MONAI has no way to say
    that a place is not known: it gets the voxel size, or an identity, and a mark by which `from_metatensor` tells. From
    here on the geometry is MONAI's affair: plain torch operations leave its affine as it was.

    Raises
    ------
    UsageError
        If there are two axes beside space.
    MissingDependencyError
        Without MONAI.
    """
    kind = _library("monai.data.meta_tensor").MetaTensor
    data, outer = _channel_first(image, "MONAI")
    known = "affine" if image.affine is not None else "size" if image.voxel_size is not None else "nothing"
    meta = {"space": "RAS", "original_channel_dim": 0, "recon_known": known, "recon_axis": outer}
    meta |= {"recon_unit": image.unit, "recon_quantity": str(image.quantity)}
    return kind(data, affine=torch.from_numpy(_affine_for_others(image)), meta=meta)


def from_metatensor(
    tensor: Any, *, dims: Sequence[str] | None = None, unit: str | None = None, quantity: str | None = None
) -> Image:
    """Return the image in a MONAI ``MetaTensor``; of its metadata nothing but place, unit and quantity is taken.

    Parameters
    ----------
    tensor
        MONAI's channel comes first; one of size 1 is dropped, unless `dims` names it.
    dims
        Names of its axes; by default ("channel", "x", "y", "z") for four of them. Three may be a volume or a plane with
        channels, so they need names unless `to_metatensor` made them.
    unit, quantity
        By default what `to_metatensor` noted, else arbitrary and unknown.

    Raises
    ------
    UsageError
        For a batch, transforms that MONAI still has to apply, or axes without names. An identity affine, which MONAI
        makes up where it knows none, is taken for none.
    """
    if getattr(tensor, "is_batch", False):
        raise UsageError(
            "a MetaTensor with a batch holds several images: take them apart with monai.data.decollate_batch"
        )
    if getattr(tensor, "pending_operations", None):
        raise UsageError("the MetaTensor has transforms that are pending: apply them first")
    meta = tensor.meta
    axis = str(meta.get("recon_axis", ""))
    if dims is None and "recon_axis" not in meta and tensor.ndim != 4:
        raise UsageError('name the axes of the MetaTensor, such as dims=("x", "y", "z") or ("channel", "x", "y")')
    data = tensor.as_tensor()
    if dims is None:
        dims = (axis or "channel", *("x", "y", "z")[: data.ndim - 1])
        data, dims = (data[0], dims[1:]) if data.shape[0] == 1 and axis in ("", "channel") else (data, dims)
    affine = np.asarray(tensor.affine, dtype=np.float64)
    if affine.shape != (4, 4):
        affine = _in_space(affine)
    affine = ras_lps(affine) if meta.get("space") == "LPS" else affine
    noted = {"unit": (meta.get("recon_unit"), UNITS), "quantity": (meta.get("recon_quantity"), QUANTITIES)}
    kept = {name: value for name, (value, known) in noted.items() if isinstance(value, str) and value in known}
    unit = unit or kept.get("unit", "arbitrary")
    quantity = quantity or (kept.get("quantity") if unit == kept.get("unit") else None)
    return _placed(data, affine, dims, unit, quantity, meta.get("recon_known"))


def to_torchio(image: Image) -> dict[str, Any]:
    """Return what ``torchio.ScalarImage`` and ``torchio.LabelMap`` are made of: ``tio.Image(**to_torchio(image))``.

    Returns
    -------
        "tensor", (channel, x, y, z); "affine", 4x4 to RAS+ mm; "type", "label" for labels, else "intensity".

    Raises
    ------
    UsageError
        If there are two axes beside space, or the values are complex, which TorchIO's transforms are not made for.
    """
    if image.data.is_complex():
        raise UsageError("TorchIO takes real values: write data.abs(), .angle(), .real or .imag with Image.with_data")
    data, _ = _channel_first(image, "TorchIO")
    data = data if "z" in image.dims else data.unsqueeze(-1)
    kind = "label" if image.quantity == "label" else "intensity"
    return {"tensor": data, "affine": _affine_for_others(image), "type": kind}


def from_torchio(item: Mapping[str, Any], *, unit: str = "arbitrary", quantity: str | None = None) -> Image:
    """Return the image of a ``torchio.Image``, which is a mapping, or of the dictionary of `to_torchio`.

    A channel of size 1 is dropped. An identity affine, which TorchIO makes up where it knows none, is taken for none.

    Parameters
    ----------
    item
        With "data" or "tensor", (channel, x, y, z), and "affine".
    unit, quantity
        As for `Image`; "type" being "label" gives labels.

    Raises
    ------
    UsageError
        If a part is missing.
    """
    try:  # asking makes TorchIO read a file; looking for the key does not
        data = torch.as_tensor(item["tensor"] if "tensor" in item else item["data"])
        affine = np.asarray(item["affine"], dtype=np.float64)
    except KeyError as error:
        raise UsageError("an image of TorchIO's has 'data' (or 'tensor') and 'affine'") from error
    if data.ndim != 4:
        raise UsageError(f"TorchIO's data have four axes (channel, x, y, z), not the shape {tuple(data.shape)}")
    if quantity is None and unit == "arbitrary" and item.get("type") == "label":
        unit, quantity = "1", "label"
    dims: tuple[str, ...] = ("channel", "x", "y", "z")
    data, dims = (data[0], dims[1:]) if data.shape[0] == 1 else (data, dims)
    return _placed(data, affine, dims, unit, quantity, None)


def _channel_first(image: Image, whose: str) -> tuple[Tensor, str]:
    """Return (channel, x, y[, z]) and the name of the axis that became the channel, if one did."""
    space = len(image.space)
    outer = image.dims[:-space]
    if len(outer) > 1:
        raise UsageError(f"{whose} takes one axis beside space; these are {', '.join(image.dims)}: pick parts of it")
    data = image.data if outer else image.data.unsqueeze(0)
    return data.permute(0, *range(space, 0, -1)), outer[0] if outer else ""


def _affine_for_others(image: Image) -> NDArray[np.float64]:
    """Return an affine for libraries that must have one."""
    if image.affine is not None:
        return image.affine.copy()
    sizes = (*(image.voxel_size or (1.0, 1.0)), 1.0)[:3]
    return np.diag([*sizes, 1.0])


def _placed(
    data: Tensor, affine: NDArray[np.float64], dims: Sequence[str], unit: str, quantity: str | None, known: object
) -> Image:
    """Return an image with as much of the affine as is known: "affine", "size", "nothing", or None where none tells."""
    if known not in ("affine", "size", "nothing"):
        known = "invented" if np.array_equal(affine, np.eye(4)) else "affine"
    image = from_numpy(data, affine if known == "affine" else None, dims=dims, unit=unit, quantity=quantity)
    if known == "invented":
        return replace(image, notes=(_INVENTED,))
    return replace(image, voxel_size=spacing(affine)[: len(image.space)]) if known == "size" else image


def _in_space(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the 4x4 affine of a plane at z = 0 that has a 3x3 one."""
    whole = np.eye(4)
    plane = [0, 1, 3]
    whole[np.ix_(plane, plane)] = affine
    return whole


def _tensor(values: NDArray[Any]) -> Tensor:
    """Return a tensor on the same memory where torch has the type and takes the strides and the byte order."""
    if values.dtype.kind not in "biufc":
        raise UsageError(f"an array of type {values.dtype} does not hold numbers; take one of its fields")
    kind = values.dtype.newbyteorder("=")
    kind = np.dtype(_WIDER.get(kind.name, kind))
    values = values.astype(kind, copy=False)
    if not values.flags.writeable or any(stride < 0 for stride in values.strides):
        values = values.copy()
    return torch.from_numpy(values)


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise MissingDependencyError(f"{package} is not installed: pip install {package}") from error
