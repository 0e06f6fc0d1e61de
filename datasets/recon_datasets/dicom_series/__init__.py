"""DICOM series of CT and MR slices."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__,
    {
        "DicomError": ".errors",
        "DicomReader": ".reader",
        "DicomSeries": ".dataset",
        "DicomWriter": ".writer",
        "scan": ".scan",
        "write_slices": ".synthetic",
    },
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the dataset, the reader and the writer."""
    yield Component(
        kind="dataset",
        name="dicom_series",
        target="recon_datasets.dicom_series.dataset:DicomSeries",
        summary="Slices or volumes of the CT and MR series below a folder",
        examples="recon_datasets.dicom_series.examples:dataset",
        tags=("ct", "mri", "clinical"),
    )
    yield Component(
        kind="reader",
        name="dicom_series",
        target="recon_datasets.dicom_series.reader:DicomReader",
        summary="CT, MR, PET, NM, dose, radiographs: folder, zip or file, enhanced, mosaic, 4-D; in place, or refused",
        examples="recon_datasets.dicom_series.examples:reader",
        suffixes=(".dcm", ".zip", "/"),
        magic=((128, b"DICM"), (0, b"PK\3\4")),
        scan="recon_datasets.dicom_series.scan:scan",
        references=("https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.7.6.2.html",),
    )
    yield Component(
        kind="writer",
        name="dicom_series",
        target="recon_datasets.dicom_series.writer:DicomWriter",
        summary="CT in HU or MR as derived DICOM: a slice as a file, volumes, also in time, as a folder",
        examples="recon_datasets.dicom_series.examples:writer",
        suffixes=(".dcm", "/"),
        references=("https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_A.3.html",),
    )
