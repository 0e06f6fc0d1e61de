"""The Finnish Inverse Problems Society's fan-beam walnut, in MATLAB files."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"FipsReader": ".reader", "write_fips": ".synthetic", "write_synthetic": ".synthetic"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the reader."""
    yield Component(
        kind="reader",
        name="fips",
        target="recon_datasets.fips.reader:FipsReader",
        summary="Fan-beam sinogram of the FIPS walnut, MATLAB 5 or 7.3 file",
        examples="recon_datasets.fips.examples:reader",
        requires=("scipy",),
        extra="ct",
        suffixes=(".mat",),
        magic=((0, b"MATLAB 5.0 MAT-file"), (0, b"MATLAB 7.3 MAT-file")),
        tags=("ct", "fan beam"),
        references=("10.5281/zenodo.1254206",),
    )
