"""Ordinary pictures: PNG, JPEG, BMP, TIFF."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__,
    {
        "ImageFolder": ".dataset",
        "PictureReader": ".reader",
        "PictureWriter": ".writer",
        "StackReader": ".stack",
        "load_picture": ".pixels",
    },
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the dataset, the readers and the writer."""
    yield Component(
        kind="dataset",
        name="image_folder",
        target="recon_datasets.image_folder.dataset:ImageFolder",
        summary="Pictures below a folder, gray or colour, in [0, 1]",
        examples="recon_datasets.image_folder.examples:dataset",
        tags=("png", "jpeg", "natural"),
    )
    yield Component(
        kind="reader",
        name="picture",
        target="recon_datasets.image_folder.reader:PictureReader",
        summary="PNG, JPEG, BMP or TIFF picture, in [0, 1]",
        examples="recon_datasets.image_folder.examples:reader",
        suffixes=(".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"),
        magic=((0, b"\x89PNG\r\n"), (0, b"\xff\xd8\xff"), (0, b"BM"), (0, b"II*\0"), (0, b"MM\0*")),
    )
    yield Component(
        kind="reader",
        name="picture_stack",
        target="recon_datasets.image_folder.stack:StackReader",
        summary="Volume of numbered pictures in a folder, or of the pages of a TIFF file",
        examples="recon_datasets.image_folder.examples:stack",
        suffixes=(".tif", ".tiff", "/"),
        magic=((0, b"II*\0"), (0, b"MM\0*")),
    )
    yield Component(
        kind="writer",
        name="picture",
        target="recon_datasets.image_folder.writer:PictureWriter",
        summary="PNG picture of values in [0, 1] or through a window of CT, 8 or 16 bits",
        examples="recon_datasets.image_folder.examples:writer",
        suffixes=(".png",),
    )
