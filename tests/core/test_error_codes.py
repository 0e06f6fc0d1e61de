"""Every code that the source raises or notes is explained in the one table, and the page is made of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from recon.io.codes import CODES, PATTERN, explain

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path
    for top in ("recon", "plugins", "datasets")
    for path in (ROOT / top).rglob("*.py")
    if path != ROOT / "recon" / "io" / "codes.py"
)


def used() -> dict[str, str]:
    """Return each code that a source file names, with the file."""
    return {code: path.name for path in SOURCES for code in PATTERN.findall(path.read_text(encoding="utf-8"))}


def test_every_code_is_explained():
    missing = {code: name for code, name in used().items() if code not in CODES}
    assert not missing, "add these to recon/io/codes.py"
    assert len(used()) > 30  # the search itself works


def test_no_explanation_is_of_the_past():
    assert set(CODES) <= set(used()), "remove these from recon/io/codes.py"


@pytest.mark.parametrize("code", CODES)
def test_explanations_are_sentences(code):
    assert PATTERN.fullmatch(code)
    for text in CODES[code]:
        assert text.endswith((".", "`"))
        assert text[0].isupper() or text[0] == "`"
        assert "|" not in text  # would break the table
    assert explain(code).startswith(CODES[code][0])


def test_unknown_codes_have_no_explanation():
    assert explain("RECON-NO-SUCH") == ""


def test_the_page_is_current():
    path = ROOT / "docs" / "_ext" / "error_codes.py"
    spec = importlib.util.spec_from_file_location("docs_error_codes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run: python docs/_ext/error_codes.py"
