import pytest

from hpsearch.testing.searching import ToySearch


@pytest.fixture(scope="session")
def searched(tmp_path_factory):
    """A study of 24 toy trials over a space with conditions, every seventh of which failed."""
    search = ToySearch(
        tmp_path_factory.mktemp("toys") / "s", "random", "mixed", trials=24, toy={"fail_every": 7}
    )
    search.run()
    return search.study


@pytest.fixture(scope="session")
def branched(tmp_path_factory):
    """A study with hyperparameters that only some of its trials have."""
    search = ToySearch(tmp_path_factory.mktemp("toys") / "b", "random", "finite", trials=30)
    search.run()
    return search.study
