"""MetaImage files of ITK."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"MetaImageReader": ".reader"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the reader."""
    yield Component(
        kind="reader",
        name="metaimage",
        target="recon_datasets.metaimage.reader:MetaImageReader",
        summary="MetaImage of ITK, .mha, or .mhd with its data file beside it",
        examples="recon_datasets.metaimage.examples:reader",
        suffixes=(".mha", ".mhd"),
        magic=((0, b"ObjectType"), (0, b"NDims")),
        references=("https://itk.org/Wiki/ITK/MetaIO/Documentation",),
    )
