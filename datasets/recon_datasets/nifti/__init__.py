"""NIfTI files."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"NiftiDataset": ".dataset", "NiftiReader": ".reader", "NiftiWriter": ".writer"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the dataset, the reader and the writer."""
    yield Component(
        kind="dataset",
        name="nifti",
        target="recon_datasets.nifti.dataset:NiftiDataset",
        summary="Slices or volumes of NIfTI files below a folder",
        examples="recon_datasets.nifti.examples:dataset",
        tags=("mri", "ct", "clinical"),
    )
    yield Component(
        kind="reader",
        name="nifti",
        target="recon_datasets.nifti.reader:NiftiReader",
        summary="NIfTI-1 or NIfTI-2 image: .nii, .nii.gz, or a pair .hdr and .img",
        examples="recon_datasets.nifti.examples:reader",
        suffixes=(".nii", ".nii.gz", ".hdr", ".hdr.gz"),
        # NIfTI-1, NIfTI-2 in either byte order, in one file or a pair, gzip
        magic=((344, b"n+1\0"), (4, b"n+2\0"), (344, b"ni1\0"), (4, b"ni2\0"), (0, b"\x1f\x8b")),
    )
    yield Component(
        kind="writer",
        name="nifti",
        target="recon_datasets.nifti.writer:NiftiWriter",
        summary="NIfTI image with its affine, .nii or .nii.gz; diffusion weighting beside it",
        examples="recon_datasets.nifti.examples:writer",
        suffixes=(".nii", ".nii.gz"),
        companions=(".bval", ".bvec"),
    )
