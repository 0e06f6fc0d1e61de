"""Helical scans as measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Gt

from recon.io import Measurement
from recon_datasets.dicom_ct_pd.errors import ProjectionError
from recon_datasets.dicom_ct_pd.rebinning import covered, fan_angles, rebin_to_fan
from recon_datasets.dicom_ct_pd.scan import TURN, HelicalScan, projection_files, read_scan
from recon_datasets.dicom_ct_pd.view import is_projection

__all__ = ["DicomCtPdReader"]

PLAUSIBLE_WATER = 0.015, 0.03
"""Attenuation of water in 1/mm between 50 and 120 keV, with room."""


class DicomCtPdReader:
    """Reads a folder of DICOM-CT-PD projections, such as those of the public library LDCT-and-Projection-data.

    Views are sorted by their instance number. Line integrals, geometry and water's attenuation come from the files; the
    image has x to the right and y up as seen from the table, and z from the table to the gantry. Attenuation is in
    1/mm, and HU follow from the metadata ``water_per_mm``.

    geometry "fan": the data are rebinned to slices, (slice, 1, view, column), by single-slice rebinning, with the
    operator `fan_beam`, so that two-dimensional methods reconstruct each slice. A flying focal spot is accounted for,
    position by position. "helix": the data are as measured, (1, 1, view, row, column), with the operator `cone_beam`;
    its z is counted from the middle slice. A flying focal spot is refused there.

    What is not certain to be right is refused with a code: missing views or tags, several scans or spectra in a folder,
    data without logarithm, spherical detectors.

    Parameters
    ----------
    geometry
        Rebinned to fan beams of slices, or the helical cone beam as measured.
    z
        Heights of the slices in mm, evenly spaced; by default every `spacing` mm of what can be had, about its middle.
    spacing
        Distance of slices in mm.
    size
        Rows and columns of the image.
    field
        Edge of the image in mm; by default the diameter of the scanned field.

    References
    ----------
    Chen et al., Med. Phys. 42:6964, 2015, doi:10.1118/1.4935406; Moen et al., Med. Phys. 48:902, 2021,
    doi:10.1002/mp.14594; Noo et al., Phys. Med. Biol. 44:561, 1999, doi:10.1088/0031-9155/44/2/019
    """

    def __init__(
        self,
        *,
        geometry: Literal["fan", "helix"] = "fan",
        z: Sequence[float] | None = None,
        spacing: Annotated[float, Gt(0)] = 3.0,
        size: Annotated[int, Gt(0)] = 512,
        field: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        self.geometry: Literal["fan", "helix"] = geometry
        self.z = None if z is None else tuple(float(height) for height in z)
        self.spacing = spacing
        self.size = size
        self.field = field
        if self.z is not None:
            if not self.z:
                raise ValueError("z must be at least one height")
            if len(self.z) > 2 and not np.allclose(np.diff(self.z), (self.z[-1] - self.z[0]) / (len(self.z) - 1)):
                raise ValueError("z must be evenly spaced: the slices become one volume")

    def accepts(self, path: Path) -> bool:
        """Whether the folder's first DICOM file has the format's detector tags."""
        return path.is_dir() and any(is_projection(file) for file in projection_files(path)[:16])

    def read(self, path: Path) -> Measurement:
        """Read a scan.

        Raises
        ------
        ProjectionError
            With the code of what is wrong, and the fix.
        """
        scan = read_scan(path)
        notes = []
        if scan.water is not None and not PLAUSIBLE_WATER[0] <= scan.water <= PLAUSIBLE_WATER[1]:
            notes.append(f"stated attenuation of water {scan.water:g} is not that of water in 1/mm: left out")
        z = self._slices(scan)
        pixel = (scan.field if self.field is None else self.field) / self.size
        helix = self.geometry == "helix"
        data, config, said = (_helix if helix else _slices)(scan, z, pixel)
        step = float(z[1] - z[0]) if len(z) > 1 else self.spacing
        known = scan.water if not notes else None
        return Measurement(
            data=data,
            operator_config={**config, "size": (len(z), self.size, self.size) if helix else (self.size, self.size)},
            voxel_size=(pixel, pixel, abs(step)),
            unit="1/mm",
            dims=("z", "y", "x"),
            metadata={
                "modality": "CT",
                **({} if known is None else {"water_per_mm": known, "air_per_mm": 0.0}),
                **({} if scan.kvp is None else {"kvp": scan.kvp}),
            },
            notes=(*notes, f"slices from z {z[0]:.3f} to {z[-1]:.3f} mm of the scanner's coordinate", *said),
        )

    def _slices(self, scan: HelicalScan) -> np.ndarray:
        if self.z is not None:
            return np.array(self.z)
        low, high = covered(scan) if self.geometry == "fan" else sorted((float(scan.z[0]), float(scan.z[-1])))
        if high < low:
            raise ProjectionError(
                "RECON-CTPD-RANGE", "the scan is shorter than a turn: no slice is seen from all sides; read as helix"
            )
        count = math.floor((high - low) / self.spacing) + 1
        return (low + high) / 2 + (np.arange(count) - (count - 1) / 2) * self.spacing


def _slices(scan: HelicalScan, z: np.ndarray, pixel: float) -> tuple[torch.Tensor, dict[str, Any], list[str]]:
    fans, beyond = rebin_to_fan(scan, z.tolist())
    notes = ["helical cone beam rebinned to fan beams of slices"]
    if beyond:
        notes.append(f"{100 * beyond:.2g} % of the rays needed rows beyond the detector: the outermost one was taken")
    config = {
        "use": "fan_beam",
        "angles": (fan_angles(scan) % TURN).tolist(),
        **_common(scan),
        "pixel": pixel,
        "bins": scan.values.shape[2],
        "bin_size": scan.spacing[1],
        "offset": scan.offset[1],
    }
    return torch.from_numpy(fans)[:, None], config, notes


def _helix(scan: HelicalScan, z: np.ndarray, pixel: float) -> tuple[torch.Tensor, dict[str, Any], list[str]]:
    if scan.flying:
        raise ProjectionError(
            "RECON-CTPD-FFS", "the focal spot flies, which a cone beam about the detector's centre is not; read as fan"
        )
    pitch = scan.pitch if np.ptp(scan.z) > 0 else 0.0
    slope = pitch / TURN
    start = float((scan.z - slope * scan.theta).mean())
    uneven = float(np.abs(scan.z - slope * scan.theta - start).max())
    if uneven > scan.spacing[0] * scan.source_distance / scan.detector_length / 2:
        raise ProjectionError(
            "RECON-CTPD-TABLE", f"the table is up to {uneven:.2f} mm off an even feed, which is no helix; read as fan"
        )
    step = float(z[1] - z[0]) if len(z) > 1 else 1.0
    config = {
        "use": "cone_beam",
        "angles": (scan.theta if slope else scan.theta % TURN).tolist(),
        **_common(scan),
        "pixel": (abs(step), pixel, pixel),
        "bins": scan.values.shape[1:],
        "bin_size": scan.spacing,
        "offset": scan.offset,
        "pitch": pitch,
        "centre": (0.0, 0.0, float(z.mean()) - start),
    }
    return torch.from_numpy(scan.values)[None, None], config, []


def _common(scan: HelicalScan) -> dict[str, Any]:
    return {
        "source_distance": scan.source_distance,
        "detector_distance": scan.detector_length - scan.source_distance,
        "detector": scan.detector,
    }
