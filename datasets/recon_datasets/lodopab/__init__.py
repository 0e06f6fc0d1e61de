"""LoDoPaB-CT: low-dose parallel-beam projections of clinical slices, in HDF5."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__,
    {
        "LoDoPaB": ".dataset",
        "LoDoPaBReader": ".reader",
        "operator_config": ".geometry",
        "write_lodopab": ".synthetic",
        "write_synthetic": ".synthetic",
    },
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the dataset and the reader."""
    yield Component(
        kind="dataset",
        name="lodopab",
        target="recon_datasets.lodopab.dataset:LoDoPaB",
        summary="Pairs of low-dose sinogram and image of LoDoPaB-CT",
        examples="recon_datasets.lodopab.examples:dataset",
        tags=("ct", "hdf5", "clinical"),
        references=("10.1038/s41597-021-00893-z",),
    )
    yield Component(
        kind="reader",
        name="lodopab",
        target="recon_datasets.lodopab.reader:LoDoPaBReader",
        summary="LoDoPaB-CT file of sinograms, with its images beside it",
        examples="recon_datasets.lodopab.examples:reader",
        suffixes=(".hdf5",),
        magic=((0, b"\x89HDF\r\n\x1a\n"),),
        references=("10.1038/s41597-021-00893-z",),
    )
