"""2DeteCT: measured fan-beam slices of fruits, nuts and stones in three qualities, as TIFF files."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__,
    {
        "TwoDetect": ".dataset",
        "TwoDetectReader": ".reader",
        "operator_config": ".geometry",
        "write_synthetic": ".synthetic",
        "write_two_detect": ".synthetic",
    },
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the dataset and the reader."""
    yield Component(
        kind="dataset",
        name="two_detect",
        target="recon_datasets.two_detect.dataset:TwoDetect",
        summary="Measured fan-beam slices of 2DeteCT: low dose, clean or beam-hardened, with reference images",
        examples="recon_datasets.two_detect.examples:dataset",
        tags=("ct", "fan beam", "tiff"),
        references=("10.1038/s41597-023-02484-6",),
    )
    yield Component(
        kind="reader",
        name="two_detect",
        target="recon_datasets.two_detect.reader:TwoDetectReader",
        summary="Folder of one 2DeteCT slice in one mode: sinogram, dark and flat fields",
        examples="recon_datasets.two_detect.examples:reader",
        suffixes=("/",),
        tags=("ct", "fan beam", "tiff"),
        references=("10.1038/s41597-023-02484-6",),
    )
