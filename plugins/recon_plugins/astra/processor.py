"""ASTRA's kernels of the processor, for one image at a time."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

__all__ = ["ProcessorRun"]


class ProcessorRun:
    """An ASTRA projector, which lives in a table of ASTRA's until it is deleted there."""

    def __init__(self, kernel: str, scan: dict[str, Any], volume: dict[str, Any]) -> None:
        import astra

        self.astra, self.scan, self.volume = astra, scan, volume
        self.handle = astra.create_projector(kernel, scan, volume)

    def __enter__(self) -> ProcessorRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.astra.projector.delete(self.handle)

    def run(self, side: Literal["FP", "BP"], image: Tensor, sinogram: Tensor) -> None:
        """Fill the sinogram from the image, or the image from the sinogram, both float32 and contiguous."""
        astra = self.astra
        volume = astra.data2d.link("-vol", self.volume, image.numpy())
        data = astra.data2d.link("-sino", self.scan, sinogram.numpy())
        written = {"VolumeDataId": volume} if side == "FP" else {"ReconstructionDataId": volume}
        config = astra.astra_dict(side) | {"ProjectorId": self.handle, "ProjectionDataId": data} | written
        algorithm = None
        try:
            algorithm = astra.algorithm.create(config)
            astra.algorithm.run(algorithm)
        finally:
            if algorithm is not None:
                astra.algorithm.delete(algorithm)
            astra.data2d.delete([volume, data])
