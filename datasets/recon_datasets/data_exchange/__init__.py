"""Parallel-beam scans of synchrotrons: Data Exchange HDF5 files, and folders of TIFF projections."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__,
    {
        "DataExchangeReader": ".reader",
        "ProjectionFolderReader": ".folder",
        "write_data_exchange": ".synthetic",
        "write_projection_folder": ".synthetic",
        "write_synthetic": ".synthetic",
    },
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the readers."""
    yield Component(
        kind="reader",
        name="data_exchange",
        target="recon_datasets.data_exchange.reader:DataExchangeReader",
        summary="Data Exchange scan: projections with flat and dark fields, as line integrals",
        examples="recon_datasets.data_exchange.examples:reader",
        suffixes=(".h5", ".hdf", ".hdf5"),
        magic=((0, b"\x89HDF\r\n\x1a\n"),),
        tags=("ct", "synchrotron", "hdf5"),
        references=("10.1107/S160057751401604X",),
    )
    yield Component(
        kind="reader",
        name="projection_folder",
        target="recon_datasets.data_exchange.folder:ProjectionFolderReader",
        summary="Folder of TIFF projections with flat and dark fields and a list of angles",
        examples="recon_datasets.data_exchange.examples:folder",
        suffixes=("/",),
        tags=("ct", "synchrotron", "tiff"),
    )
