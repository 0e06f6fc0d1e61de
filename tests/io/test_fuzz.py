"""Bytes flipped at random: the image that an independent reader sees, or a refusal; never a crash or a hang."""

import numpy as np
import pytest

from .mutants import KINDS, disagreement, mutants
from .reading import Found

AT_LENGTH = range(1, 11)
"""Seeds of the slow test: 16 kinds, 10 seeds, 145 mutants each."""


def fuzz(reading, folder, name, count, entropy):
    """What went wrong, with the number of the mutant; and how many were read, refused, and seen by the oracle."""
    kind = KINDS[name]
    wrong, read, refused, seen = [], 0, 0, 0
    values = folder / "values.npy"
    for number, path in enumerate(mutants(kind, folder, count, [entropy, list(KINDS).index(name)])):
        answer = reading(path, save=values)
        if "crash" in answer or answer["seconds"] > 10:
            wrong.append((number, answer))
        elif "code" in answer:
            refused += 1
            if not answer["code"].startswith("RECON-"):
                wrong.append((number, answer))
        else:
            read += 1
            if kind.oracle is not None:
                problem = disagreement(kind, path, Found(answer, np.load(values)))
                seen += problem is not None
                if problem:
                    wrong.append((number, problem))
    return wrong, (read, refused, seen)


@pytest.mark.parametrize("name", KINDS)
def test_flipped_bytes(reading, tmp_path, name):
    wrong, (_, refused, _) = fuzz(reading, tmp_path, name, 40, entropy=0)
    assert wrong == []
    assert refused


@pytest.mark.slow
@pytest.mark.parametrize("entropy", AT_LENGTH)
@pytest.mark.parametrize("name", KINDS)
def test_flipped_bytes_at_length(reading, tmp_path, name, entropy):
    wrong, (read, refused, _) = fuzz(reading, tmp_path, name, 145, entropy)
    assert wrong == []
    assert read + refused == 145
