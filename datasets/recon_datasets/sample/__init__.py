"""Real images that come with the package: brain magnetic resonance and chest and abdomen computed tomography."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"Sample": ".dataset"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the dataset."""
    yield Component(
        kind="dataset",
        name="sample",
        target="recon_datasets.sample.dataset:Sample",
        summary="54 real images inside the package: brain MRI of four people, CT of thirteen patients, split by person",
        examples="recon_datasets.sample.examples:sample",
        tags=("mri", "ct", "offline"),
        references=("10.1007/s10278-013-9622-7", "10.7937/K9/TCIA.2016.JGNIHEP5"),
        licence="MIT, PDDL-1.0 and CC-BY-3.0, see SOURCE.md",
    )
