"""DICOM series as images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Gt

from recon.io.series import SeriesInfo
from recon_datasets.dicom_series.dicom_file import is_projection
from recon_datasets.dicom_series.picture import read_picture
from recon_datasets.dicom_series.pixels import Padding
from recon_datasets.dicom_series.quiet import quiet
from recon_datasets.dicom_series.scan import scan
from recon_datasets.dicom_series.series import Series, pick, read_files
from recon_datasets.dicom_series.source import Source, first_source, is_dicom, is_zip
from recon_datasets.dicom_series.volume import Gaps

if TYPE_CHECKING:
    from recon.io import Image, Measurement

__all__ = ["DicomReader"]


class DicomReader:
    """Reads CT, MR, PET and NM images, dose and radiographs: a folder, a zip archive, a list of files, or one file.

    Frames are grouped by series and, within one, by what they show (magnitude or phase, echo, size, orientation), and
    sorted along row x column by position, never by number. Each frame's own slope and intercept, or the modality
    table, are applied: HU for CT, Bq/ml for PET; Philips' private scale of MR is not, but stands in the metadata
    (`philips_scale`). Enhanced multi-frame images and Siemens mosaics are read like the
    slices that they hold; frames that lie in one place become an axis in time. The affine comes from orientation,
    pixel spacing, and first and last position, turned from DICOM's LPS to RAS; a tilted gantry shears it. Radiographs
    and planar scintigrams have no affine, but a pixel spacing if the file tells one. What is not certain to be right is
    refused with a code. A DICOMDIR stands for the folder in which it lies.

    Parameters
    ----------
    series
        Number of the series, counted from 1 as in the refusal that lists them and in `scan`, where there are several.
    stack
        Number of the image within the series, where there are several.
    gaps
        "nan" fills missing slices with NaN, "resample" interpolates missing and uneven ones along z.
    untilt
        Shift the slices of a tilted gantry onto a right-angled grid.
    padding
        What becomes of pixels that the scanner marked as outside its field: "keep", "nan", or "clip" to the slice's
        least other value.
    drop_partial
        Leave out volumes in time that miss slices.
    geometry
        "unknown" accepts files that do not say where they lie: no affine, slices by instance number.
    suv
        Return standardised uptake values (body weight, g/ml) of PET.
    kind
        "picture" reads what is no scan: colours, secondary captures, ultrasound, photographs. Values are as stored,
        red, green and blue along "channel", frames along "t"; there is no affine.
    assume
        "implicit-le" reads files that do not say how they are encoded, and named files that lack DICOM's mark, as
        uncompressed little-endian ones (explicit value representations are seen).
    limit_gb
        Largest image to read, in 10^9 bytes.
    """

    def __init__(
        self,
        *,
        series: Annotated[int, Gt(0)] | None = None,
        stack: Annotated[int, Gt(0)] | None = None,
        gaps: Gaps = "refuse",
        untilt: bool = False,
        padding: Padding = "keep",
        drop_partial: bool = False,
        geometry: Literal["required", "unknown"] = "required",
        suv: bool = False,
        kind: Literal["scan", "picture"] = "scan",
        assume: Literal["nothing", "implicit-le"] = "nothing",
        limit_gb: Annotated[float, Gt(0)] = 16.0,
    ) -> None:
        self.series = series
        self.stack = stack
        self.gaps: Gaps = gaps
        self.untilt = untilt
        self.padding: Padding = padding
        self.drop_partial = drop_partial
        self.geometry: Literal["required", "unknown"] = geometry
        self.suv = suv
        self.kind: Literal["scan", "picture"] = kind
        self.assume: Literal["nothing", "implicit-le"] = assume
        self.limit_gb = limit_gb

    def accepts(self, path: Path) -> bool:
        """Whether the file is DICOM, or the first one in the folder or archive that is holds no CT projection."""
        if not path.is_dir() and not is_zip(path):
            return is_dicom(path)
        first = first_source(path)
        return first is not None and not _projection(first)

    def read(self, path: Path | Sequence[Path]) -> Image | Measurement:
        """Read an image: (z, y, x), or (t, z, y, x) where frames lie in one place; (y, x) for a file of one slice.

        Radiographs are (y, x), films of them (t, y, x), pictures (channel, y, x) or (t, channel, y, x). A folder of
        DICOM-CT-PD projections goes to the reader of those.

        Raises
        ------
        DicomError
            With the code of what is wrong, and the fix.
        """
        import torch

        from recon.io import Image

        files = read_files(path, assume=self.assume)
        errors = {None if item.error is None else item.error.code for item in files}
        if isinstance(path, Path) and path.is_dir() and errors == {"RECON-DICOM-PROJECTION"}:
            from recon.building import build

            return build("reader", "dicom_ct_pd").read(path)
        where = str(path) if isinstance(path, Path) else "the list of files"
        if self.kind == "picture":
            return read_picture(files, where, series=self.series, stack=self.stack, limit=self.limit_gb * 1e9)
        series = Series.of(
            pick(files, self.series, where),
            where,
            stack=self.stack,
            gaps=self.gaps,
            drop_partial=self.drop_partial,
            placeless=self.geometry == "unknown",
        )
        values = series.values(self.padding, self.limit_gb * 1e9)
        affine, unit, notes = series.volume.affine, series.unit, series.notes
        if self.untilt and any(series.volume.tilt):
            values, affine, said = series.untilted(values)
            notes = (*notes, said)
        if self.suv:
            values *= series.uptake_factor()
            unit, notes = "g/ml", (*notes, "standardised uptake value by body weight")
        first = series.volume.frames[0][0]
        one_slice = isinstance(path, Path) and path.is_file() and len(files) == 1 and values.shape[:2] == (1, 1)
        without = {"t": values.shape[0] == 1, "z": first.kind.is_flat or one_slice}
        dims = tuple(name for name in ("t", "z", "y", "x") if not without.get(name))
        return Image(
            data=torch.from_numpy(values.squeeze(tuple(axis for axis, name in enumerate("tz") if without[name]))),
            affine=affine,
            dims=dims,
            voxel_size=first.spacing if affine is None and "z" not in dims else None,
            unit=unit,
            quantity="dose" if first.kind.modality == "RTDOSE" else first.kind.component or None,
            metadata=series.technical,
            notes=notes,
            provenance=series.provenance,
        )

    def scan(self, path: Path | Sequence[Path], *, text: bool = False) -> list[SeriesInfo]:
        """Say what a folder, archive, list or file holds, from headers alone; see `scan`."""
        return scan(path, text=text)


def _projection(source: Source) -> bool:
    with quiet():
        return is_projection(source)
