"""torch-radon: its CUDA projectors for the scans of recon's own.

torch-radon is not on PyPI and needs its own build, or ``conda install -c conda-forge carterbox-torch-radon``.
"""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"TorchRadonProjection": ".operators"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the operator."""
    yield Component(
        kind="operator",
        name="torch_radon",
        target="recon_plugins.torch_radon.operators:TorchRadonProjection",
        summary="Line integrals by torch-radon on CUDA, for the scan of another projector; not exactly matched",
        examples="recon_plugins.torch_radon.examples:torch_radon",
        requires=("torch_radon",),
        install="not on PyPI: conda install -c conda-forge carterbox-torch-radon, or build it yourself",
        dtypes=("float32",),
        expected_failures=(
            ("adjoint", "its back-projection interpolates between bins, which is not the transpose of its projection"),
        ),
        tags=("ct", "linear", "cuda"),
        references=("10.48550/arXiv.2009.14788",),
    )
