"""Further cases of a claim that `make test` holds by others: they run before a release."""

import pytest


def later(*case):
    """One set of values for ``pytest.mark.parametrize``."""
    return pytest.param(*case, marks=pytest.mark.long)
