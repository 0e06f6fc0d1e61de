"""ISMRMRD files (MRD version 1): raw data of MRI scanners."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__,
    {
        "ISMRMRDReader": ".reader",
        "ISMRMRDWriter": ".writer",
        "write_readouts": ".writer",
    },
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the reader and the writer."""
    yield Component(
        kind="reader",
        name="ismrmrd",
        target="recon_datasets.ismrmrd.reader:ISMRMRDReader",
        summary="ISMRMRD scan: k-space, whitened and placed, with its calibration lines",
        examples="recon_datasets.ismrmrd.examples:reader",
        suffixes=(".mrd", ".h5"),
        magic=((0, b"\x89HDF\r\n\x1a\n"),),
        tags=("mri", "hdf5", "raw"),
        references=("10.1002/mrm.26089",),
    )
    yield Component(
        kind="writer",
        name="ismrmrd",
        target="recon_datasets.ismrmrd.writer:ISMRMRDWriter",
        summary="ISMRMRD scan of Cartesian k-space, with its place in the patient",
        examples="recon_datasets.ismrmrd.examples:writer",
        suffixes=(".mrd",),
        tags=("mri", "hdf5", "raw"),
        references=("10.1002/mrm.26089",),
    )
