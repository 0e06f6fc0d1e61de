"""Messages of the command line name options, not parameters."""

from __future__ import annotations

import pytest

from recon.cli.wording import as_options


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("RECON-DICOM-AMBIGUOUS: x holds 2 series; choose with series=: 1", "; choose with --series N: 1"),
        ("RECON-DICOM-MIXED: choose with stack=: 1", "choose with --stack N: 1"),
        ("RECON-DICOM-GAP: find them, or fill with gaps=resample", "or fill with --allow-gaps"),
        ("RECON-DICOM-UNEVEN: resample them with gaps=resample", "resample them with --allow-gaps"),
        ("RECON-IMAGE-READER: say which with reader=", "say which with --reader"),
        ("x fits two writers: say which with writer=", "say which with --writer"),
        ("out, the series of `like`, does not exist", "out, the series of --like, does not exist"),
        (
            "RECON-DICOM-SYNTAX: or read it with assume=implicit-le if",
            "read it with --reader '{use: dicom_series, assume: implicit-le}' if",
        ),
        (
            "RECON-NIFTI-AFFINE: read it with form='standard'",
            "read it with --reader '{use: nifti, form: standard}'",
        ),
        (
            "RECON-DICOM-UNEVEN-TIME: leave those out with drop_partial",
            "leave those out with --reader '{use: dicom_series, drop_partial: true}'",
        ),
        ("RECON-IMAGE-SIZE: raise limit_gb of the reader", "raise it with --reader '{use: NAME, limit_gb: 64}'"),
        ("name one with dataset= of the reader", "name one with --reader '{use: NAME, dataset: NAME}'"),
    ],
)
def test_parameters_become_options(said, shown):
    assert shown in as_options(said)


@pytest.mark.parametrize("text", ["the folder series=2 is empty", "gaps=resample", "/data/stack=/x does not exist"])
def test_other_words_stay(text):
    assert as_options(text) == text
