import pytest

from hpsearch.testing.memory_tracker import MemoryTracker, StudyView
from hpsearch.testing.trackers import TrackerContract
from hpsearch.tracking.mlflow import MlflowTracker


class TestMemoryTracker(TrackerContract):
    @pytest.fixture
    def store(self):
        return StudyView()

    def make(self, store):
        return MemoryTracker(store)

    def read(self, store):
        return store


class TestMlflowTrackerOnSqlite(TrackerContract):
    @pytest.fixture(autouse=True)
    def _read_study(self, read_study):
        self._read = read_study

    @pytest.fixture
    def store(self, uri):
        return uri

    def make(self, store):
        return MlflowTracker(store, "digits")

    def read(self, store):
        return self._read(store)
