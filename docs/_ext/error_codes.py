"""The page of error codes, made from `recon.io.codes`: ``python docs/_ext/error_codes.py`` rewrites it."""

from __future__ import annotations

from pathlib import Path

from recon.io.codes import CODES

PAGE = Path(__file__).resolve().parents[1] / "error-codes.md"

INTRODUCTION = """# Error codes

A file that cannot be read without risk of a wrong image is refused with a code, which stays the same from version to
version, and a sentence that says what is wrong with this file. Python code finds it as `error.code` of
`recon.errors.CodedFileError`. Where something was odd but sure, or was done as it was asked for, the code stands in
front of one of the image's notes.

Messages hold numbers and our own words: no text of the file, which may name the patient.

This page is made from `recon/io/codes.py` by `python docs/_ext/error_codes.py`.
"""

_FAMILIES = {
    "CTPD": "CT projections in DICOM",
    "DICOM": "DICOM",
    "HDF5": "HDF5",
    "IMAGE": "Images in single files",
    "NIFTI": "NIfTI",
    "WRITE": "Writing",
}


def page() -> str:
    """Return the Markdown page."""
    lines, family = [INTRODUCTION], ""
    for code, (meaning, fix) in CODES.items():
        if code.split("-")[1] != family:
            family = code.split("-")[1]
            lines += ["", f"## {_FAMILIES.get(family, family)}", ""]
            lines += ["| code | meaning | what to do |", "| --- | --- | --- |"]
        lines.append(f"| `{code}` | {meaning} | {fix} |")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
