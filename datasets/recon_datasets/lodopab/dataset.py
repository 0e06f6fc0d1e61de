"""Pairs of LoDoPaB-CT as a dataset."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import h5py
import numpy as np
import torch
from annotated_types import Gt
from torch import Tensor

from recon.errors import FileFormatError
from recon.io.hdf5 import dataset, open_hdf5
from recon_datasets.lodopab.geometry import BINS, PER_FILE, SIZE, VIEWS, Units, operator_config, scales, upright

__all__ = ["LoDoPaB"]

Part = Literal["train", "validation", "test", "challenge"]


class LoDoPaB:
    """Low-dose sinograms and images of one part of LoDoPaB-CT, from the unpacked HDF5 files.

    Items: ``measurement`` (1, 1000, 513) float32, after the logarithm; ``image`` (1, 362, 362) float32, upright, but
    not in the challenge's part; ``sample``, the number within the part; ``patient`` where the part's list of patients
    (``patient_ids_rand_train.csv`` ...) is in `root`. Files that were not downloaded are passed over.

    `operator_config` gives the operator with which measurement = A(image) + noise. Every process opens files of its
    own, on first use, and keeps the last few open.

    Parameters
    ----------
    root
        Folder with the files, or with a folder for each kind as the archives unpack (``ground_truth_train`` ...).
    part
        train (35820 samples), validation (3522), test (3553), or challenge (no images).
    units
        "1/mm": images in 1/mm, measurements are line integrals. "normalised": as stored, images in [0, 1] of
        0.0814 / mm and measurements over metres.
    keep_open
        Number of pairs of files that a process keeps open.

    Raises
    ------
    FileFormatError
        On first use, if there are no files, a partner is missing, shapes are others, or numbers of samples differ.

    References
    ----------
    Leuschner et al., Sci. Data 8:109, 2021, doi:10.1038/s41597-021-00893-z
    """

    def __init__(
        self,
        *,
        root: Path,
        part: Part = "train",
        units: Units = "1/mm",
        keep_open: Annotated[int, Gt(0)] = 4,
    ) -> None:
        self.root = Path(root)
        self.part = part
        self.units = units
        self.keep_open = keep_open
        self._handles: OrderedDict[int, tuple[h5py.File, ...]] = OrderedDict()
        self._process: int | None = os.getpid()

    def operator_config(self) -> dict[str, Any]:
        """Return the `radon` operator of the measurements, in these units."""
        return operator_config(self.units)

    @cached_property
    def files(self) -> list[tuple[Path, ...]]:
        """Paths (observation, ground truth) of each numbered pair, or (observation,) in the challenge's part."""
        if not self.root.is_dir():
            raise FileFormatError(f"data folder {self.root} does not exist")
        found = sorted(self.root.rglob(f"observation_{self.part}_*.hdf5"), key=_number)
        if not found:
            raise FileFormatError(
                f"{self.root} holds no observation_{self.part}_NNN.hdf5: unpack the archive of part {self.part!r} there"
            )
        if self.part == "challenge":
            return [(path,) for path in found]
        images = {_number(path): path for path in self.root.rglob(f"ground_truth_{self.part}_*.hdf5")}
        missing = [path.name for path in found if _number(path) not in images]
        if missing:
            raise FileFormatError(
                f"{self.root}: {missing[0]} has no ground_truth_{self.part}_{_number(found[0]):03d}.hdf5; unpack the "
                f"archive ground_truth_{self.part} too"
            )
        return [(path, images[_number(path)]) for path in found]

    @cached_property
    def starts(self) -> np.ndarray:
        """Index of the first item of each pair of files, and the number of items last."""
        counts = []
        for paths in self.files:
            lengths = []
            for path, shape in zip(paths, ((VIEWS, BINS), (SIZE, SIZE)), strict=False):
                with open_hdf5(path) as file:
                    lengths.append(len(_data(file, path, shape)))
            if len(set(lengths)) > 1:
                raise FileFormatError(f"{paths[0]} holds {lengths[0]} samples, {paths[1].name} {lengths[1]}")
            counts.append(lengths[0])
        return np.concatenate([[0], np.cumsum(counts)])

    @cached_property
    def patients(self) -> np.ndarray | None:
        """Identifier of the patient of each sample of the whole part; None without its list."""
        path = self.root / f"patient_ids_rand_{self.part}.csv"
        if not path.is_file():
            return None
        try:
            return np.loadtxt(path, dtype=np.int64, ndmin=1)
        except ValueError as error:
            raise FileFormatError(f"{path} is not a list of whole numbers, one a line: {error}") from error

    def __len__(self) -> int:
        """Return the number of samples."""
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Read one pair."""
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"sample {index} of {count}")
        index %= count
        number = int(np.searchsorted(self.starts, index, side="right")) - 1
        within = index - int(self.starts[number])
        paths = self.files[number]
        try:
            values = [torch.from_numpy(file["data"][within].astype(np.float32)) for file in self._open(number)]
        except (OSError, RuntimeError, LookupError, ValueError) as error:  # as h5py reports damage
            reason = " ".join(str(error).split())
            raise FileFormatError(f"{paths[0]}: sample {within} cannot be read: {reason}") from error
        if not all(bool(torch.isfinite(value).all()) for value in values):
            raise FileFormatError(
                f"{paths[0]}: sample {within} holds values that are not finite; download the file again"
            )
        of_image, of_observation = scales(self.units)
        sample = PER_FILE * _number(paths[0]) + within
        item = {"measurement": values[0][None] * of_observation, "sample": torch.tensor(sample)}
        if len(values) > 1:
            item["image"] = upright(values[1]).contiguous()[None] * of_image
        if self.patients is not None:
            if sample >= len(self.patients):
                raise FileFormatError(f"the list of patients of {self.root} ends before sample {sample}")
            item["patient"] = torch.tensor(self.patients[sample])
        return item

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind."""
        return self.__dict__ | {"_handles": OrderedDict(), "_process": None}

    def _open(self, number: int) -> tuple[h5py.File, ...]:
        if self._process != os.getpid():  # HDF5 handles do not survive a fork
            self._handles, self._process = OrderedDict(), os.getpid()
        if number not in self._handles:
            self._handles[number] = tuple(h5py.File(path, "r") for path in self.files[number])
            while len(self._handles) > self.keep_open:
                for file in self._handles.popitem(last=False)[1]:
                    file.close()
        self._handles.move_to_end(number)
        return self._handles[number]


def _number(path: Path) -> int:
    """Return the number of a file, observation_train_007.hdf5 being 7."""
    match = re.search(r"_(\d+)$", path.stem)
    if match is None:
        raise FileFormatError(f"{path} has no number at its end, as LoDoPaB-CT's files have")
    return int(match[1])


def _data(file: h5py.File, path: Path, shape: tuple[int, int]) -> h5py.Dataset:
    data = dataset(file, "data")
    if data is None or data.ndim != 3 or data.shape[1:] != shape or data.dtype.kind != "f":
        got = "none" if data is None else f"{data.dtype} of shape {data.shape}"
        raise FileFormatError(
            f"{path}: a dataset 'data' of floats (n, {shape[0]}, {shape[1]}) is needed, there is {got}"
        )
    return data
