"""The demonstration's networks and baselines on people that no setting of it was chosen by.

MRI: three slices of the T1 brains of six other people. CT: a full-dose slice of another collection. Both lie
beside the checkout (../shared/data), prepared as the sample images are.

Run: recon demo -o demo-folder; python tests/benchmarks/demo_elsewhere.py demo-folder
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import nibabel
import numpy as np
import torch
from torch import Tensor

from recon.demo.compare import compare
from recon.demo.study import CT, MRI
from recon.experiment import Experiment

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
FIRST_OF_A_SUBJECT = (1, 2, 3, 4, 6, 9)


class Images:
    """Images in memory, with what `compare` asks of a data set of the demonstration."""

    def __init__(self, images: list[np.ndarray]) -> None:
        self.images = [torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None] for image in images]
        self.subjects = list(range(len(images)))
        self.affine = np.eye(4)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": self.images[index]}


def sample_script() -> object:
    spec = importlib.util.spec_from_file_location("make_sample", ROOT / "docs" / "scripts" / "make_sample.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def brains() -> Images:
    script = sample_script()
    slices = []
    for number in FIRST_OF_A_SUBJECT:
        volume = nibabel.load(DATA / "mri_images" / "jlf60_t1_axial" / f"ilist{number}.nii.gz").get_fdata()
        for index in (6, 8, 11):
            image = volume[:, index, :]  # rows from front to back
            slices.append(script.magnitude(script.resample(image, (1.0, 1.0), 1.8)) / 4095)
    return Images(slices)


def bodies() -> Images:
    hu = np.load(DATA / "ct_images" / "ldct_l506_npy" / "L506_167_target.npy") * 4096 - 1000
    spacing = 0.664  # mm; stated nowhere in the file, of the order of the collection's
    image = sample_script().resample(np.clip(hu, -1000, 2000), (spacing, spacing), 3.0)
    return Images([(np.clip(image, -1000, 2000) + 1000) / 1000 * 0.0192])


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for study, images in ((MRI, brains()), (CT, bodies())):
        run = folder / study.key / "run"
        comparison = compare(study, Experiment.load(run), run, 0.0, dataset=images)
        for column in comparison.columns:
            psnr, ssim = column.mean("psnr"), column.mean("ssim")
            print(f"{study.key}  {len(images):3d} images  {column.label:26s} {psnr:6.2f} dB  SSIM {ssim:.3f}")
