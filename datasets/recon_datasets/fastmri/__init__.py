"""fastMRI's HDF5 files: k-space of knees and brains."""

from collections.abc import Iterator

from recon import Command, Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__,
    {
        "FastMRI": ".dataset",
        "FastMRIReader": ".reader",
        "write_fastmri": ".synthetic",
        "write_phantoms": ".phantoms",
        "write_synthetic": ".synthetic",
    },
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the dataset and the reader."""
    yield Component(
        kind="dataset",
        name="fastmri",
        target="recon_datasets.fastmri.dataset:FastMRI",
        summary="Slices or volumes of fastMRI files: k-space, coil images, or what its U-Net takes",
        examples="recon_datasets.fastmri.examples:dataset",
        tags=("mri", "hdf5"),
        references=("10.1148/ryai.2020190007",),
    )
    yield Component(
        kind="reader",
        name="fastmri",
        target="recon_datasets.fastmri.reader:FastMRIReader",
        summary="fastMRI volume: k-space, mask and reference reconstruction",
        examples="recon_datasets.fastmri.examples:reader",
        suffixes=(".h5",),
        magic=((0, b"\x89HDF\r\n\x1a\n"),),
        references=("10.1148/ryai.2020190007",),
    )
    yield Component(
        kind="reader",
        name="fastmri_reconstruction",
        target="recon_datasets.fastmri.reconstruction:ReconstructionReader",
        summary="Reconstructed volume in the layout of fastMRI's submissions",
        examples="recon_datasets.fastmri.examples:reconstruction_reader",
        suffixes=(".h5",),
        magic=((0, b"\x89HDF\r\n\x1a\n"),),
        tags=("mri", "hdf5"),
    )
    yield Component(
        kind="writer",
        name="fastmri_reconstruction",
        target="recon_datasets.fastmri.reconstruction:ReconstructionWriter",
        summary="Reconstructed volume in the layout of fastMRI's submissions",
        examples="recon_datasets.fastmri.examples:reconstruction_writer",
        suffixes=(".h5",),
        tags=("mri", "hdf5"),
    )


@hookimpl
def recon_commands() -> Iterator[Command]:
    """Offer a writer of synthetic files."""
    yield Command(
        name="make-fastmri",
        target="recon_datasets.fastmri.phantoms:command",
        summary="write synthetic files in fastMRI's layout",
    )
