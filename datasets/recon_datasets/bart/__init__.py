"""BART's cfl files: k-space, images and sensitivities."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__, {"BartReader": ".reader", "BartWriter": ".writer", "read_cfl": ".cfl", "write_cfl": ".cfl"}
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the reader and the writer."""
    yield Component(
        kind="reader",
        name="bart",
        target="recon_datasets.bart.reader:BartReader",
        summary="BART cfl file with its hdr: k-space with the mask of what is not zero, or an image",
        examples="recon_datasets.bart.examples:reader",
        suffixes=(".cfl", ".hdr"),
        tags=("mri", "raw"),
        references=("10.5281/zenodo.592960",),
    )
    yield Component(
        kind="writer",
        name="bart",
        target="recon_datasets.bart.writer:BartWriter",
        summary="BART cfl file with its hdr",
        examples="recon_datasets.bart.examples:writer",
        suffixes=(".cfl",),
        companions=(".hdr",),
        tags=("mri", "raw"),
        references=("10.5281/zenodo.592960",),
    )
