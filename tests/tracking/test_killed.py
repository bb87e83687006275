"""A tracker that dies after any one of its requests leaves nothing that the next one cannot complete."""

from concurrent.futures import Future
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from hpsearch.testing.trackers import METRIC, epoch
from hpsearch.tracking import Champion, StudyRecord
from hpsearch.tracking.messages import Best, Close, Crown, Finish, Start
from hpsearch.tracking.store import connect, resolve
from hpsearch.tracking.study_run import StudyRun
from hpsearch.trial import DataSummary, EvaluationResult, ExportResult, Result, TrialSpec, TrialState


class KilledError(BaseException):
    """Stands for `kill -9`."""


class Mortal:
    """MLflow's client until it has answered `lives` requests."""

    def __init__(self, client, lives):
        self._client, self._lives = client, lives
        self.answered = []

    def __getattr__(self, name):
        method = getattr(self._client, name)

        def request(*arguments, **keywords):
            answer = method(*arguments, **keywords)
            self.answered.append(name)
            if len(self.answered) == self._lives:
                raise KilledError
            return answer

        return request


class Scene:
    """One study of one trial, from its first record to its last."""

    def __init__(self, folder, experiment_id, name):
        trial = folder / "trial"
        trial.mkdir(parents=True)
        (trial / "model.keras").write_bytes(b"weights")
        (trial / "curves.png").write_bytes(b"picture")
        (folder / "model.tflite").write_bytes(b"flat")
        data = DataSummary("digits", "0f" * 8, "classification", {"train": 10}, {"x": "(4,) float32"})
        objectives = {METRIC: "maximize"}
        self.record = StudyRecord(name, name, str(folder), "name: x", "random", objectives, {}, data, {})
        self.spec = TrialSpec(0, {"units": 16}, 7, str(trial))
        files = ("model.keras", "curves.png")
        self.result = Result({"units": 16}, {METRIC: 0.9}, 2, 2, 1.0, facts={"threads": 1}, files=files)
        export = ExportResult(str(folder / "model.tflite"), "float32", 4, 0.0, 0.0, 1.0, 10)
        tested = EvaluationResult({f"test_{METRIC}": 0.8}, str(folder / "samples.npz"))
        self.champion = Champion(0, {METRIC: 0.9}, str(trial / "model.keras"), tested, (export,))
        self.experiment_id, self.name = experiment_id, name

    def play(self, client):
        """Sends everything, as the driver does at the end or anew when it resumes."""
        study = StudyRun(client, self.experiment_id, self.record)
        study.open()
        epochs = [epoch(1, 0.5), epoch(2, 0.9)]
        finish = Finish(self.spec, TrialState.COMPLETE, self.result)
        study.trials.deliver(0, [Start(self.spec), *epochs, finish])
        study.deliver([Best(0, {METRIC: 0.9}, {"COMPLETE": 1}), Crown(self.champion, self.name, Future())])
        study.deliver([Close(interrupted=False)])

    def seen(self, client):
        """Returns what MLflow holds of it, without ids and times."""
        mine = f"tags.`hpsearch.study_id` = '{self.name}'"
        runs = client.search_runs([self.experiment_id], mine)
        versions = client.search_model_versions(f"name = '{self.name}'")
        return {
            "runs": sorted(self._run(client, run) for run in runs),
            "models": [model for run in runs for model in self._models(client, run.info.run_id)],
            "versions": [(version.version, version.aliases, len(version.tags)) for version in versions],
        }

    def _run(self, client, run):
        run_id = run.info.run_id
        points = {name: client.get_metric_history(run_id, name) for name in sorted(run.data.metrics)}
        return (
            run.info.run_name.replace(self.name, "study"),
            run.info.status,
            sorted(run.data.params.items()),
            [(name, [(m.step, m.value) for m in history]) for name, history in points.items()],
            len(run.outputs.model_outputs if run.outputs else ()),
            [item.path for item in client.list_artifacts(run_id)],
        )

    def _models(self, client, run_id):
        made_by = f"source_run_id = '{run_id}'"
        for model in client.search_logged_models([self.experiment_id], filter_string=made_by):
            folder = Path(url2pathname(urlsplit(model.artifact_location).path))
            files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
            yield model.status, sorted(model.params), files


@pytest.mark.slow
def test_whatever_request_was_the_last_the_records_are_completed(uri, tmp_path):
    client = connect(resolve(uri))
    experiment_id = client.create_experiment("digits", artifact_location=(tmp_path / "runs").as_uri())
    whole = Mortal(client, lives=-1)
    scene = Scene(tmp_path / "whole", experiment_id, "whole")
    scene.play(whole)
    expected = scene.seen(client)
    assert {run[1] for run in expected["runs"]} == {"FINISHED"}
    assert len(whole.answered) > 20

    for lives in range(1, len(whole.answered)):
        scene = Scene(tmp_path / str(lives), experiment_id, f"killed{lives}")
        with pytest.raises(KilledError):
            scene.play(Mortal(client, lives))
        scene.play(client)
        assert scene.seen(client) == expected, f"killed after {whole.answered[lives - 1]}"
