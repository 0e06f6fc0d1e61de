"""NRRD files."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"NrrdReader": ".reader"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the reader."""
    yield Component(
        kind="reader",
        name="nrrd",
        target="recon_datasets.nrrd.reader:NrrdReader",
        summary="NRRD image, .nrrd, or .nhdr with its data file beside it",
        examples="recon_datasets.nrrd.examples:reader",
        requires=("nrrd",),
        extra="nrrd",
        suffixes=(".nrrd", ".nhdr"),
        magic=((0, b"NRRD000"),),
        references=("https://teem.sourceforge.net/nrrd/format.html",),
    )
