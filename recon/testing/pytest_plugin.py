"""What recon adds to pytest: the option ``--recon-plugin`` and the fixture `recon_registry`. Nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from recon.registry import Registry


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that ``pytest --pyargs recon.testing.kit`` needs."""
    parser.getgroup("recon").addoption(
        "--recon-plugin",
        action="append",
        default=[],
        metavar="NAME",
        help="plugin to check with recon.testing.kit; may be repeated",
    )


@pytest.fixture
def recon_registry() -> Iterator[Registry]:
    """Registry of first-party plugins alone, for the length of a test: what else is installed cannot leak in.

    ``recon_registry.load_file(path)`` adds a plugin.
    """
    from recon.registry import Registry, use_registry

    with use_registry(Registry(environ={"RECON_PLUGINS_AUTOLOAD": "0"})) as registry:
        yield registry
