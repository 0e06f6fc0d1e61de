"""The toolkit's own measurement file."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"MeasurementReader": ".reader", "MeasurementWriter": ".writer"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the reader and the writer."""
    yield Component(
        kind="reader",
        name="measurement_file",
        target="recon_plugins.measurement_file.reader:MeasurementReader",
        summary="HDF5 file of a measurement, its operator and its geometry",
        examples="recon_plugins.measurement_file.examples:reader",
        suffixes=(".h5",),
        magic=((0, b"\x89HDF\r\n\x1a\n"),),
        tags=("hdf5",),
    )
    yield Component(
        kind="writer",
        name="measurement_file",
        target="recon_plugins.measurement_file.writer:MeasurementWriter",
        summary="HDF5 file of a measurement, its operator and its geometry",
        examples="recon_plugins.measurement_file.examples:writer",
        suffixes=(".h5",),
        tags=("hdf5",),
    )
