"""fastMRI's evaluation of reconstructed volumes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from recon.building import build
from recon.errors import FileFormatError, UsageError
from recon.evaluation.report import Report, VolumeScores
from recon.interfaces import Metric
from recon.io.hdf5 import attribute_text, dataset, open_hdf5
from recon.io.listing import list_files
from recon.kspace import crop_centred

__all__ = ["FastMRIProtocol"]

_RENAMED = "_v2"
"""Ending under which the knees' test files were submitted after they were issued again."""


@dataclass(frozen=True, kw_only=True)
class FastMRIProtocol:
    """Scores reconstructed volumes as fastMRI's published evaluation does.

    Reconstruction and reference are both cropped to their centre (W, W), W being the reference's width, and compared in
    double precision. NMSE and PSNR are of the whole volume, SSIM is the mean over its slices; the range of PSNR and of
    SSIM is the maximum of the cropped reference volume.

    A reconstruction is a file with the dataset ``reconstruction`` (slice, H, W), and the name of its reference; a
    reference is a fastMRI file with ``reconstruction_esc`` where its k-space has no coil axis, and
    ``reconstruction_rss`` else.

    Parameters
    ----------
    acquisition
        Only volumes of this protocol, such as CORPD_FBK or AXT2.
    acceleration
        Only volumes that were accelerated so, as the reference or the reconstruction tells in an attribute.

    References
    ----------
    Zbontar et al., 2018, arXiv:1811.08839
    """

    acquisition: str | None = None
    acceleration: float | None = None

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """The metrics by the names of their components."""
        return {name: build("metric", name) for name in ("fastmri_nmse", "fastmri_psnr", "fastmri_ssim")}

    def evaluate(
        self,
        predictions: Path,
        targets: Path,
        *,
        track: Callable[[Sequence[str]], Iterable[str]] = iter,
    ) -> Report:
        """Compare a folder of reconstructions, or one file, with a folder of references, or one file.

        Folders are searched with their subfolders. A volume that cannot be compared is told in the report, and the
        others go on.

        Parameters
        ----------
        predictions, targets
            The files.
        track
            Goes through the names, to show progress.

        Raises
        ------
        FileFormatError
            If a folder holds no file, or two of one name.
        UsageError
            If no volume passes the filters, or none has both files.
        """
        found, wanted = _by_name(predictions), _by_name(targets)
        if predictions.is_file() and targets.is_file():  # two files of whatever names
            found = {next(iter(wanted)): predictions}
        names = sorted(found.keys() & wanted.keys())
        missing = [] if predictions.is_file() else sorted(wanted.keys() - found.keys())
        extra = sorted(found.keys() - wanted.keys())
        scores, faults, silent = [], {}, []
        for name in track(names):
            try:
                with open_hdf5(wanted[name]) as target, open_hdf5(found[name]) as prediction:
                    kept = self._passes(target, prediction)
                    if kept:
                        scores.append(self._score(name, target, prediction))
                    elif kept is None:
                        silent.append(name)
            except (FileFormatError, UsageError) as error:
                faults[name] = str(error)
        missing = [name for name in missing if self._wanted(wanted[name])]
        if not scores and not faults:
            raise UsageError(self._nothing(predictions, targets, names, silent))
        count = f"{len(silent)} volume{'s' if len(silent) > 1 else ''}"
        notes = [f"{count} left out: the files do not tell what the filter asks"] if silent else []
        conventions = {name: metric.convention for name, metric in self.metrics.items()}
        return Report(conventions=conventions, volumes=scores, missing=missing, extra=extra, faults=faults, notes=notes)

    def _passes(self, target: h5py.File, prediction: h5py.File | None) -> bool | None:
        """Whether a volume is asked for; None if it does not tell."""
        verdicts: list[bool | None] = []
        if self.acquisition is not None:
            found = attribute_text(target, "acquisition")
            verdicts.append(None if found is None else found == self.acquisition)
        if self.acceleration is not None:
            factor = _acceleration(target, prediction)
            verdicts.append(None if factor is None else math.isclose(factor, self.acceleration))
        if False in verdicts:
            return False
        return None if None in verdicts else True

    def _wanted(self, path: Path) -> bool:
        """Whether a reference without reconstruction should have had one."""
        try:
            with open_hdf5(path) as target:
                return self._passes(target, None) is True
        except FileFormatError:
            return True

    def _nothing(self, predictions: Path, targets: Path, names: list[str], silent: list[str]) -> str:
        if not names:
            return (
                f"no file of {predictions} has the name of a reference in {targets}: a reconstruction has the name of "
                "its k-space file"
            )
        asked = {"acquisition": self.acquisition, "acceleration": self.acceleration}
        filters = " and ".join(f"{name} {value}" for name, value in asked.items() if value is not None)
        told = f"; {len(silent)} do not tell theirs" if silent else ""
        return f"none of {len(names)} volumes has {filters}{told}: try without the filter"

    def _score(self, name: str, target: h5py.File, prediction: h5py.File) -> VolumeScores:
        reference = _volume(target, _target_name(target))
        guess = _volume(prediction, "reconstruction")
        if len(guess) != len(reference):
            raise FileFormatError(
                f"{prediction.filename} has {len(guess)} slices, its reference {len(reference)}: reconstruct all"
            )
        side = reference.shape[-1]
        for file, volume in ((target, reference), (prediction, guess)):
            if min(volume.shape[1:]) < side:
                raise FileFormatError(
                    f"{file.filename}: images of {tuple(volume.shape[1:])} cannot be cropped to the reference's width, "
                    f"{(side, side)}"
                )
        pair = [crop_centred(volume, (side, side))[None] for volume in (guess, reference)]
        with torch.inference_mode():
            values = {key: float(metric(*pair)) for key, metric in self.metrics.items()}
        return VolumeScores(
            name=name,
            slices=len(reference),
            acquisition=attribute_text(target, "acquisition"),
            acceleration=_acceleration(target, prediction),
            values=values,
        )


def _by_name(path: Path) -> dict[str, Path]:
    """Return the HDF5 files of a folder, or one file, by name without suffix and the ending of renamed ones."""
    found: dict[str, Path] = {}
    for file in list_files(path, (".h5", ".hdf5")):
        name = file.stem.removesuffix(_RENAMED)
        if name in found:
            raise FileFormatError(f"{found[name]} and {file} have one name: keep one of them")
        found[name] = file
    return found


def _acceleration(*files: h5py.File | None) -> float | None:
    for file in files:
        if file is not None and "acceleration" in file.attrs:
            value = np.asarray(file.attrs["acceleration"])
            if value.size == 1 and value.dtype.kind in "iuf":
                return float(value.item())
    return None


def _target_name(file: h5py.File) -> str:
    kspace = dataset(file, "kspace")
    single = kspace.ndim == 3 if kspace is not None else "reconstruction_esc" in file
    return "reconstruction_esc" if single else "reconstruction_rss"


def _volume(file: h5py.File, name: str) -> Tensor:
    stored = dataset(file, name)
    if stored is None:
        names = ", ".join(sorted(file)) or "nothing"
        raise FileFormatError(f"{file.filename} has no dataset {name!r} but {names}")
    if stored.ndim != 3 or stored.dtype.kind not in "fiu" or 0 in stored.shape:
        raise FileFormatError(
            f"{file.filename}: {name!r} is {stored.dtype} of shape {stored.shape}, not real (slice, H, W)"
        )
    values: Any = np.asarray(stored[()], dtype=np.float64)
    if not np.isfinite(values).all():
        raise FileFormatError(f"{file.filename}: {name!r} holds values that are NaN or infinite")
    return torch.from_numpy(values)
