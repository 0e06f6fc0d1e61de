"""DICOM-CT-PD: the projections of clinical scanners, one DICOM file a view."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__,
    {
        "DicomCtPdReader": ".reader",
        "HelicalScan": ".scan",
        "ProjectionError": ".errors",
        "read_scan": ".scan",
        "rebin_to_fan": ".rebinning",
        "write_dicom_ct_pd": ".synthetic",
        "write_synthetic": ".synthetic",
    },
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the reader."""
    yield Component(
        kind="reader",
        name="dicom_ct_pd",
        target="recon_datasets.dicom_ct_pd.reader:DicomCtPdReader",
        summary="Folder of DICOM-CT-PD projections of a helical scan, rebinned to slices or as measured",
        examples="recon_datasets.dicom_ct_pd.examples:reader",
        suffixes=("/",),
        tags=("ct", "clinical", "helical"),
        references=("10.1118/1.4935406", "10.1002/mp.14594", "10.1088/0031-9155/44/2/019"),
    )
