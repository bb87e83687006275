"""Which trials' models stay on the disk."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.driver import End
from hpsearch.errors import ExperimentError
from hpsearch.experiment import Experiment
from hpsearch.experiment_checkpoints import CheckpointsSection
from hpsearch.ranking import pareto_front, rank
from hpsearch.retention import Retention, disk_use
from hpsearch.study_folder import StudyFolder
from hpsearch.testing.searching import ToySearch
from hpsearch.tracking.mlflow import MlflowTracker
from hpsearch.trial import Failure, FailureKind, Result, TrialState
from hpsearch.trial_view import TrialView
from hpsearch.writing import MIB

COMPLETE, PRUNED, FAILED = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED
ACCURACY = {"val_accuracy": "maximize"}
TWO = {"val_accuracy": "maximize", "latency_ms": "minimize"}


def _view(number, *values, state=COMPLETE):
    return TrialView(number, state, {}, values, {}, 1, 1, 1.0, None)


class Models:
    """A study's folder in which trials leave models."""

    def __init__(self, path, objectives=ACCURACY, champion=None, **section):
        self.folder = StudyFolder(path)
        self.retention = Retention(self.folder, CheckpointsSection(**section), objectives, champion)

    def end(self, trial, size=10, files=("model.keras", "checkpoints/last.keras", "state.npz")):
        for name in (*files, "history.csv"):
            file = self.folder.trial(trial.number) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"0" * size)
        self.retention.add(trial)

    def there(self):
        """Returns the trials whose models are there; those without have kept their records alone."""
        found = set()
        for trial in sorted((self.folder.path / "trials").iterdir()):
            names = {path.name for path in trial.iterdir()}
            if "model.keras" in names:
                found.add(int(trial.name))
            else:
                assert names == {"history.csv"}
        return found


def test_what_the_parts_of_a_trial_left_goes_too(tmp_path):
    models = Models(tmp_path, keep="best 1")
    for number, value in ((0, 0.1), (1, 0.2)):
        part = models.folder.trial(number) / "parts" / "fold-1"
        for name in ("model.keras", "checkpoints/last.keras", "state.npz", "history.csv"):
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).write_bytes(b"0")
        models.end(_view(number, value))
    left = [path.name for path in models.folder.trial(0).rglob("*") if path.is_file()]
    assert left == ["history.csv", "history.csv"]
    assert (models.folder.trial(1) / "parts" / "fold-1" / "checkpoints" / "last.keras").exists()


@settings(deadline=None, max_examples=40)
@given(values=st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), max_size=12), best=st.integers(1, 4))
def test_the_best_are_there_after_every_trial(tmp_path_factory, values, best):
    models = Models(tmp_path_factory.mktemp("s"), keep=f"best {best}")
    ended = []
    for number, value in enumerate(values):
        ended.append(_view(number, value))
        models.end(ended[-1])
        assert models.there() == {t.number for t in rank(tuple(ended), ACCURACY)[:best]}


@settings(deadline=None, max_examples=40)
@given(
    values=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12),
    best=st.integers(1, 3),
)
def test_of_several_objectives_the_front_is_there(tmp_path_factory, values, best):
    models = Models(tmp_path_factory.mktemp("s"), TWO, keep=f"best {best}")
    ended = []
    for number, each in enumerate(values):
        ended.append(_view(number, *map(float, each)))
        models.end(ended[-1])
        front = {t.number for t in pareto_front(tuple(ended), TWO)}
        assert front <= models.there()
        assert len(models.there()) <= max(best, len(front))


def test_none_leaves_the_best_one(tmp_path):
    models = Models(tmp_path, keep="none")
    for number, value in enumerate([0.3, 0.1, 0.5, 0.4]):
        models.end(_view(number, value))
    assert models.there() == {2}


def test_pruned_and_failed_trials_have_no_place(tmp_path):
    models = Models(tmp_path, keep="best 3")
    models.end(_view(0, 0.9, state=PRUNED))
    models.end(_view(1, state=FAILED), files=("state.npz", "state-best-3.npz"))
    models.end(_view(2, 0.1))
    assert models.there() == {2}


def test_the_champion_stays_until_another_is_crowned(tmp_path):
    models = Models(tmp_path, champion=0, keep="best 1")
    for number, value in enumerate([0.3, 0.5, 0.4]):
        models.end(_view(number, value))
    assert models.there() == {0, 1}
    ended = [_view(n, v) for n, v in enumerate([0.3, 0.5, 0.4])]
    Retention(models.folder, CheckpointsSection(keep="best 1"), ACCURACY, champion=1).add(*ended)
    assert models.there() == {1}


def test_all_stay_by_default(tmp_path):
    models = Models(tmp_path)
    for number in range(5):
        models.end(_view(number, number / 10))
    assert models.there() == set(range(5))


def test_a_limit_of_size_deletes_the_worst_first_and_never_the_best(tmp_path):
    models = Models(tmp_path, max_size_mib=2.5)
    for number, value in enumerate([0.3, 0.1, 0.5, 0.2]):
        models.end(_view(number, value), size=MIB, files=("model.keras",))
    assert models.there() == {0, 2}
    models.end(_view(4, 0.05, state=PRUNED), size=MIB, files=("model.keras",))
    assert models.there() == {0, 2}
    models.end(_view(5, 0.9), size=4 * MIB, files=("model.keras",))
    assert models.there() == {5}


def test_the_tracker_is_told_of_no_model_that_may_be_deleted(tmp_path):
    result = Result({}, {}, 1, 1, 0.0, files=("history.csv", "model.keras", "curves.png"))
    failure = Failure(FailureKind.NAN, "diverged")
    keeps_all = Models(tmp_path).retention
    assert (keeps_all.told(result), keeps_all.told(failure)) == (result, failure)
    for section in ({"keep": "best 2"}, {"keep": "none"}, {"max_size_mib": 1.0}):
        retention = Models(tmp_path, **section).retention
        assert retention.told(result).files == ("history.csv", "curves.png")
        assert retention.told(failure) is failure


def test_the_disk_that_a_study_takes(tmp_path):
    models = Models(tmp_path)
    models.end(_view(0, 0.5), size=1000)
    (tmp_path / "study.journal").write_bytes(b"0" * 500)
    assert (disk_use(models.folder).total, disk_use(models.folder).models) == (4500, 3000)


@pytest.mark.parametrize("keep", ["best", "best 0", "best -1", "3", "some", "best three"])
def test_other_wishes_are_refused(keep):
    with pytest.raises(ExperimentError) as caught:
        Experiment(name="x", model="mlp", data="digits", objective="val_loss", checkpoints={"keep": keep})
    assert str(caught.value) == (
        "Experiment: checkpoints.keep: not allowed; expected `all`, `none`, or `best` and a number, e.g. "
        f"`best 3`; received {keep!r}."
    )


# === In a search ===


def _there(search):
    return {int(file.parent.name) for file in (search.path / "trials").glob("*/model.keras")}


@pytest.mark.parametrize("slots", [1, 2])
def test_a_search_keeps_the_best_and_goes_on_so(tmp_path, slots):
    search = ToySearch(tmp_path / "s", trials=6, slots=slots, checkpoints={"keep": "best 2"})
    search.toy = {"model_bytes": 100}
    assert search.run() is End.TRIALS
    assert _there(search) == {t.number for t in search.study.ranking[:2]}
    search.trials = 12
    assert search.run() is End.TRIALS
    assert _there(search) == {t.number for t in search.study.ranking[:2]}
    assert all((search.folder.trial(n) / "history.csv").exists() for n in range(12))


def test_what_a_killed_driver_had_not_deleted_yet_is(tmp_path):
    search = ToySearch(tmp_path / "s", trials=4, toy={"model_bytes": 100})
    search.run()
    assert _there(search) == {0, 1, 2, 3}
    search.checkpoints = {"keep": "none"}
    search.run()
    assert _there(search) == {search.study.best[0].number}


def test_deleting_models_disturbs_no_tracker(tmp_path, template, read_study, caplog):
    """The sender is slower than the search: models are gone long before their trials are sent."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    (tmp_path / "mlflow.db").write_bytes(template.read_bytes())
    tracker = MlflowTracker(uri, "kept")
    search = ToySearch(tmp_path / "s", trials=8, checkpoints={"keep": "best 1"}, tracker=tracker)
    search.toy = {"model_bytes": 100}
    search.run()
    assert tracker.close() == []
    assert not caplog.records or all("refuses" not in record.message for record in caplog.records)
    runs = read_study(uri, "kept").runs
    assert {run.status for run in runs.values()} == {"FINISHED"}
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("kept")
    assert client.search_logged_models([experiment.experiment_id]) == []
