"""Settings of all tests."""

import gc

import pytest
from hypothesis import settings

settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


def settle() -> None:
    """Take what there is by now out of the search for garbage.

    stpipe searches at the end of every step, each time through every object of every module of the suite: more than
    half of the time of the tests that run pipelines.
    """
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    settle()


@pytest.fixture(autouse=True, scope="module")
def settled() -> None:
    """Settle again, with what the tests of the modules before have imported and made."""
    settle()
