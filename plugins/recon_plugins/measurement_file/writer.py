"""Writing measurement files."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import torch

from recon.errors import UsageError
from recon.io import Image, Measurement
from recon_plugins.measurement_file.layout import ARRAYS, OPERATOR, VERSION, VERSION_KEY, encode, store_geometry

__all__ = ["MeasurementWriter"]


class MeasurementWriter:
    """Writes a measurement, its operator's config with its arrays, its reference and its geometry to one HDF5 file."""

    def takes(self, image: Image | Measurement) -> bool:
        """Whether it is a measurement."""
        return isinstance(image, Measurement)

    def write(self, image: Image | Measurement, path: Path) -> None:
        """Write a measurement.

        Raises
        ------
        UsageError
            For an image, or an operator's config with values that a file cannot hold.
        """
        if not isinstance(image, Measurement):
            raise UsageError("an .h5 file holds a measurement; write an image as .nii.gz or .png")
        with h5py.File(path, "w") as file:
            file.attrs[VERSION_KEY] = VERSION
            measured = file.create_dataset("measurement", data=_array(image.data))
            store_geometry(measured, image)
            if image.calibration is not None:
                file.create_dataset("calibration", data=_array(image.calibration))
            if image.operator_config is not None:
                arrays = file.create_group(ARRAYS)

                def keep(array: np.ndarray) -> str:
                    name = str(len(arrays))
                    arrays.create_dataset(name, data=array)
                    return name

                file.attrs[OPERATOR] = json.dumps(encode(image.operator_config, keep))
            if image.reference is not None:
                store_geometry(file.create_dataset("reference", data=_array(image.reference.data)), image.reference)


def _array(data: torch.Tensor) -> np.ndarray:
    data = data.detach().resolve_conj().resolve_neg().cpu()
    return (data.float() if data.dtype == torch.bfloat16 else data).numpy()
