"""Rebuild the images of the dataset `sample` from the public data beside the checkout.

Usage: python docs/scripts/make_sample.py [../shared/data]

Writes datasets/recon_datasets/sample/images/*.png (16-bit) and index.csv. The result is the same at every run.
"""

import csv
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "datasets" / "recon_datasets" / "sample"
SIZE = 128
SPACING = {"mri": 1.8, "ct": 3.0}  # mm
SPLITS = dict.fromkeys(("TCGA-17-Z034", "TCGA-17-Z059", "TCGA-50-5044"), "test") | {"TCGA-17-Z021": "validation"}
# 0002 and 0007 show less than the patient's width, 0099 is 0098 again.
LEFT_OUT = ("0002", "0007", "0099")


def resample(image, spacing, grid, centre=None):
    """Area-weighted (antialiased) resampling of a 2D image to SIZE x SIZE pixels of `grid` mm about `centre`."""
    margin = max(image.shape)
    image = np.pad(image.astype(np.float32), margin, constant_values=float(image.min()))
    y, x = (np.array(image.shape) / 2) if centre is None else np.array(centre) + margin
    half = SIZE * grid / 2 / np.array(spacing)
    box = (x - half[1], y - half[0], x + half[1], y + half[0])
    return np.asarray(Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.HAMMING, box=box))


def magnitude(image):
    """Scale to [0, 1] by a high quantile, 12 bits deep."""
    return np.clip(np.round(image / np.quantile(image, 0.998) * 4095), 0, 4095)


def mri(data):
    """Yield (split, subject, source, stored image)."""
    grid = SPACING["mri"]
    folder = data / "dicom" / "datalad_t1_pddl"
    for path in sorted(folder.rglob("*.dcm"))[::3]:
        header = pydicom.dcmread(path)
        # The head is not in the middle of the field of view: centre of the box around it, in pixels.
        image = resample(header.pixel_array, [float(v) for v in header.PixelSpacing], grid, centre=(222, 137))
        yield "test", "t1", "datalad/example-dicom-structural", magnitude(image)
    volume = nibabel.load(data / "nifti" / "torchio_t2" / "t2.nii.gz").get_fdata()
    for z in range(7, 25):  # above the orbits
        image = resample(np.rot90(volume[:, :, z]), (0.75, 0.75), grid)
        yield "train", "flair", "TorchIO-project/torchio-data", magnitude(image)
    folder = data / "nifti" / "nibabel_example4d"
    volume = nibabel.load(next(folder.rglob("example4d.nii.gz"))).get_fdata()[..., 0]
    for z in range(3, 22, 3):
        image = resample(np.rot90(volume[:, :, z]), (2.0, 2.0), grid)
        yield "validation", "epi", "nipy/nibabel", magnitude(image)
    coils = np.load(data / "mri_kspace" / "moco_brain7" / "brain_slice.npz")["arr_0"].astype(np.complex128)
    yield "test", "coils7", "lab-midas/ismrm-moco-workshop", magnitude(resample(combine(coils), (1.0, 1.0), grid))


def combine(coils):
    """Combine coil images (y, x, coil) by sensitivities from their own low resolution; return the magnitude."""
    axes = (0, 1)
    k = np.fft.fftshift(np.fft.fft2(coils, axes=axes), axes)
    window = np.multiply.outer(*(np.exp(-(((np.arange(n) - n // 2) / 12) ** 2)) for n in coils.shape[:2]))
    smooth = np.fft.ifft2(np.fft.ifftshift(k * window[..., None], axes), axes=axes)
    maps = smooth / np.linalg.norm(smooth, axis=-1, keepdims=True)
    return np.abs((maps.conj() * coils).sum(-1))


def ct(data):
    """Yield (split, subject, source, stored image): HU + 1000, from air to dense bone."""
    subjects = {}
    for path in sorted((data / "ct_images" / "ct100_dicom").glob("*.dcm")):
        if path.name[3:7] in LEFT_OUT:
            continue
        header = pydicom.dcmread(path)
        hu = header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)
        image = resample(np.clip(hu, -1000, 2000), [float(v) for v in header.PixelSpacing], SPACING["ct"])
        subject = subjects.setdefault(header.PatientID, f"p{len(subjects) + 1:02d}")
        yield SPLITS.get(header.PatientID, "train"), subject, "TCGA-LUAD", np.clip(np.round(image), -1000, 2000) + 1000


def main(data):
    """Write everything anew."""
    images = TARGET / "images"
    images.mkdir(parents=True, exist_ok=True)
    for old in images.glob("*.png"):
        old.unlink()
    rows, counts = [], {}
    for modality, items in (("mri", mri(data)), ("ct", ct(data))):
        for split, subject, source, image in items:
            number = counts[modality, subject] = counts.get((modality, subject), 0) + 1
            name = f"{modality}_{subject}_{number:02d}.png"
            Image.fromarray(image.astype(np.uint16)).save(images / name, optimize=True)
            rows.append((name, modality, split, subject, SIZE, SPACING[modality], source))
    with (TARGET / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "modality", "split", "subject", "size", "spacing_mm", "source"))
        writer.writerows(rows)
    print(f"{len(rows)} images, {sum(p.stat().st_size for p in images.glob('*.png')) / 1e3:.0f} kB in {images}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "data")
