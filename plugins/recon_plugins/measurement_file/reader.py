"""Reading measurement files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from recon.errors import FileFormatError, UsageError
from recon.io import Image, Measurement
from recon.io.hdf5 import attribute_text, dataset, open_hdf5
from recon_plugins.measurement_file.layout import ARRAYS, OPERATOR, VERSION, VERSION_KEY, decode, geometry

__all__ = ["MeasurementReader"]


class MeasurementReader:
    """Reads the files of `MeasurementWriter`; the layout is described in `recon_plugins.measurement_file.layout`."""

    def accepts(self, path: Path) -> bool:
        """Whether the file carries the format's mark."""
        with open_hdf5(path) as file:
            return VERSION_KEY in file.attrs

    def read(self, path: Path) -> Measurement:
        """Read a measurement with its operator's config, reference and geometry.

        Raises
        ------
        FileFormatError
            If the file is damaged, of another layout, or of a newer version.
        """
        with open_hdf5(path) as file:
            version = file.attrs.get(VERSION_KEY)
            if version is None:
                raise FileFormatError(f"{path} is not a measurement file: attribute {VERSION_KEY!r} is missing")
            if version != VERSION:
                raise FileFormatError(f"{path} has layout version {version}, this recon reads {VERSION}: upgrade recon")
            try:
                return self._read(file, path)
            except UsageError as error:  # parts that contradict each other
                raise FileFormatError(f"{path}: {error}") from error

    def _read(self, file: h5py.File, path: Path) -> Measurement:
        measured = dataset(file, "measurement")
        if measured is None:
            raise FileFormatError(f"{path} has no dataset 'measurement'")
        reference, calibration = dataset(file, "reference"), dataset(file, "calibration")
        return Measurement(
            data=_tensor(measured),
            operator_config=_operator(file, path),
            calibration=None if calibration is None else _tensor(calibration),
            reference=None if reference is None else Image(data=_tensor(reference), **geometry(reference)),
            **geometry(measured),
        )


def _operator(file: h5py.File, path: Path) -> dict[str, Any] | None:
    text = attribute_text(file, OPERATOR)
    if text is None:
        return None

    def fetch(name: str) -> torch.Tensor:
        array = dataset(file, f"{ARRAYS}/{name}")
        if array is None:
            raise FileFormatError(f"{path} has no dataset '{ARRAYS}/{name}', which its operator needs")
        return _tensor(array)

    try:
        config = decode(json.loads(text), fetch)
    except ValueError as error:
        raise FileFormatError(f"{path}: attribute {OPERATOR!r} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise FileFormatError(f"{path}: attribute {OPERATOR!r} must hold a config {{use: name, ...}}")
    return config


def _tensor(item: h5py.Dataset) -> torch.Tensor:
    array = np.asarray(item[()])
    try:
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
    except TypeError as error:
        raise FileFormatError(f"{item.file.filename}:{item.name} has the type {item.dtype}, not numbers") from error
