"""MLflow on PostgreSQL, as a team runs it: away for seconds in the middle of a search, or its database is."""

import time

import pytest

from hpsearch.driver import End
from hpsearch.errors import TrackingError
from hpsearch.testing.searching import ToySearch, assert_recorded
from hpsearch.tracking.mlflow import MlflowTracker

from .conftest import MlflowServer, Outage

pytestmark = pytest.mark.slow

TRIALS = 12


@pytest.fixture(scope="module")
def server(postgres, tmp_path_factory):
    server = MlflowServer(tmp_path_factory.mktemp("server"), postgres.uri)
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize(("what", "seconds"), [("server", 10.0), ("postgres", 5.0)])
def test_an_outage_in_the_middle_loses_and_doubles_nothing(
    tmp_path, server, postgres, read_study, what, seconds
):
    tracker = MlflowTracker(server.uri, what, close_timeout_s=60)
    search = ToySearch(tmp_path / what, trials=TRIALS, slots=2, toy={"pause_s": 0.3}, tracker=tracker)
    outage = Outage({"server": server, "postgres": postgres}[what], 2, seconds)
    assert search.run(outage) is End.TRIALS
    assert outage.trials_during >= 4  # the search went on without it
    outage.wait()
    assert tracker.close() == []

    view = read_study(server.uri, what)  # fails if a run is there twice
    assert_recorded(search, view, TRIALS)


def test_the_database_without_a_server(tmp_path, postgres, server, read_study, monkeypatch):
    monkeypatch.chdir(tmp_path)
    search = ToySearch(tmp_path / "direct", trials=2, tracker=MlflowTracker(postgres.uri, "direct"))
    assert search.run() is End.TRIALS
    assert search.tracker.close() == []
    assert sorted(read_study(postgres.uri, "direct").runs) == [0, 1]


def test_a_wrong_password_is_told_without_it(tmp_path, postgres):
    wrong = postgres.uri.replace(postgres.password, "wr0ng-secret")
    began_s = time.monotonic()
    said = (
        r"postgresql://\*\*\*@127.* refuses these credentials.*password authentication failed.*Check the user"
    )
    with pytest.raises(TrackingError, match=said) as error:
        MlflowTracker(wrong, "x").open_study(ToySearch(tmp_path / "x").record)
    assert time.monotonic() - began_s < 10  # MLflow by itself would try for 100 s
    assert "wr0ng-secret" not in str(error.value)
