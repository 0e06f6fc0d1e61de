"""The end-to-end variational network."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__,
    {"NormUNet": ".norm_unet", "SensitivityModel": ".sensitivity", "VarNet": ".model", "VarNetBlock": ".model"},
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the network."""
    yield Component(
        kind="model",
        name="varnet",
        target="recon_plugins.varnet.model:VarNet",
        summary="End-to-end variational network of multi-coil MRI, loading fastMRI's published weights",
        examples="recon_plugins.varnet.examples:varnet",
        tags=("mri", "unrolled", "2d"),
        references=("10.1007/978-3-030-59713-9_7",),
        expected_failures=(
            ("gradients", "the first cascade starts from the measurement, so its weight of data consistency is idle"),
        ),
    )
