"""Reading from threads and from worker processes: the same images, and nothing left open."""

import logging
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from pydicom.uid import JPEGLSLossless, RLELossless
from torch.utils.data import DataLoader

import recon
from recon.errors import CodedFileError
from recon_datasets.dicom_series import DicomReader, DicomSeries, write_slices
from recon_datasets.dicom_series.quiet import quiet
from recon_datasets.dicom_series.scan import scan

SERIES = 8
VALUES = np.random.default_rng(9).integers(0, 4000, (SERIES, 12, 32, 24)).astype(np.int16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight series: plain, run-length, JPEG-LS, and in a zip archive."""
    import zipfile

    root = tmp_path_factory.mktemp("series")
    for number, values in enumerate(VALUES):

        def packed(dataset, _, number=number):
            dataset.PixelRepresentation = 0
            if number % 4 in (1, 2):
                syntax = RLELossless if number % 4 == 1 else JPEGLSLossless
                dataset.compress(syntax, generate_instance_uid=False)

        paths = write_slices(root / str(number), values, name=str(number), intercept=0, change=packed)
        if number % 4 == 3:
            with zipfile.ZipFile(root / f"{number}.zip", "w") as archive:
                for path in paths:
                    archive.write(path, path.name)
                    path.unlink()
            (root / str(number)).rmdir()
    return root


def sources(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def opened() -> list[str]:
    """Return what this process holds open, but for pipes and the like."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except FileNotFoundError:
            continue
    return sorted(target for target in found if target.startswith("/") and not target.startswith("/dev"))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_threads_read_what_one_reads(folder):
    pytest.importorskip("jpeg_ls", reason="needs pyjpegls")
    for number, path in enumerate(sources(folder)):
        assert np.array_equal(recon.read(path).data.numpy(), VALUES[number])
    before = opened()
    for _ in range(3):
        with ThreadPoolExecutor(SERIES) as pool:
            images = list(pool.map(recon.read, sources(folder)))
            listed = list(pool.map(scan, sources(folder)))
        assert all(np.array_equal(image.data.numpy(), VALUES[number]) for number, image in enumerate(images))
        assert all(found[0].stacks[0].shape == (1, 12, 32, 24) for found in listed)
    assert opened() == before


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_refusals_leave_nothing_open(tmp_path):
    paths = write_slices(tmp_path / "cut", VALUES[0])
    paths[5].write_bytes(paths[5].read_bytes()[:-100])
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4" + bytes(100))
    before = opened()
    for path in (tmp_path / "cut", paths[5], tmp_path / "broken.zip"):
        for _ in range(20):
            with pytest.raises(CodedFileError):
                DicomReader().read(path)
    assert opened() == before


def test_threads_that_overlap_stay_silent_and_give_the_voice_back(recwarn):
    """pydicom's warnings may name a patient; other code's must come through when nobody reads any more."""
    logger = logging.getLogger("pydicom")
    before = logger.level, list(warnings.filters)
    first, second = quiet(), quiet()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    warnings.warn("SMITH^JOHN", stacklevel=1)
    assert not recwarn.list
    assert not logger.isEnabledFor(logging.CRITICAL)
    second.__exit__(None, None, None)
    assert (logger.level, list(warnings.filters)) == before


class Volumes(torch.utils.data.Dataset):
    """One volume a series."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return recon.read(self.paths[index]).data


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_read_what_one_reads(folder, start):
    pytest.importorskip("jpeg_ls", reason="needs pyjpegls")
    data = Volumes(sources(folder))
    assert np.array_equal(data[2].numpy(), VALUES[2])  # decoders are loaded before the fork
    loader = DataLoader(data, num_workers=2, multiprocessing_context=start)
    assert np.array_equal(torch.cat(list(loader)).numpy(), VALUES)


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_share_a_dataset(folder, start):
    """Headers read by one process serve the others."""
    data = DicomSeries(root=folder / "0")
    assert len(data) == 12
    loader = DataLoader(data, num_workers=2, batch_size=3, multiprocessing_context=start)
    images = torch.cat([batch["image"][:, 0] for batch in loader])
    assert np.array_equal(images.numpy(), VALUES[0])
