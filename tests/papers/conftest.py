"""What is shared by the papers' tests."""

import pytest

from eqprop.cli import listing
from eqprop.papers.catalogue import EXPERIMENTS


@pytest.fixture(autouse=True)
def studies_of_tests(monkeypatch):
    """The command knows the studies that a test puts into the catalogue, besides those of the files."""
    monkeypatch.setattr(listing, "studies", lambda: EXPERIMENTS)
