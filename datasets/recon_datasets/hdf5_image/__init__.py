"""Images in HDF5 files."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"Hdf5ImageReader": ".reader", "Hdf5ImageWriter": ".writer"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the reader and the writer."""
    yield Component(
        kind="reader",
        name="hdf5_image",
        target="recon_datasets.hdf5_image.reader:Hdf5ImageReader",
        summary="Image in a named dataset of an HDF5 file, with an optional attribute affine",
        examples="recon_datasets.hdf5_image.examples:reader",
        suffixes=(".h5", ".hdf5"),
        magic=((0, b"\x89HDF\r\n\x1a\n"),),
        tags=("hdf5",),
    )
    yield Component(
        kind="writer",
        name="hdf5_image",
        target="recon_datasets.hdf5_image.writer:Hdf5ImageWriter",
        summary="HDF5 file of an image with all that is known of it, read back to the last bit",
        examples="recon_datasets.hdf5_image.examples:writer",
        suffixes=(".hdf5",),
        tags=("hdf5",),
    )
