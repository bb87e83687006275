"""What several folders of tests need."""

import gc
import os
import subprocess
from pathlib import Path

import pytest

from hpsearch.testing.memory_tracker import RunView, StudyView
from hpsearch.testing.trackers import METRIC
from hpsearch.tracking.store import connect, resolve


class SmallDisk:
    """A file system of its own, of four MiB, that can be filled and freed."""

    def __init__(self, path):
        self.path = path
        self._filling = path / "filling"

    def fill(self):
        """Takes all room, so that not one byte more can be written."""
        with open(self._filling, "ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue

    def free(self):
        self._filling.unlink()


@pytest.fixture(scope="module", autouse=True)
def _short_collections():
    """Has the garbage collector pass over what the modules before left behind, which is for good.

    Each model that is built collects first: with thousands of tests in one process, a fifth of their time.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A SQLite store that is initialised, to be copied: to make one takes seconds."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    connect(resolve(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def read_study():
    return _read_study


def _read_study(uri, experiment="digits", model="digits"):
    """Returns all that a tracker wrote, read with MLflow's own client; fails if a thing is there twice."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    view = StudyView()
    for run in client.search_runs([client.get_experiment_by_name(experiment).experiment_id]):
        tags = run.data.tags
        histories = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
        points = {name: [(m.step, m.value) for m in history] for name, history in histories.items()}
        if tags["hpsearch.kind"] == "study":
            view.status = run.info.status
            view.best = points.get(f"best_{METRIC}", [])
            for file in client.list_artifacts(run.info.run_id, "report"):
                local = client.download_artifacts(run.info.run_id, file.path)
                view.files[Path(file.path).name] = Path(local).read_text(errors="replace")
            continue
        number = int(tags["hpsearch.trial"])
        assert number not in view.runs, "a trial has two runs"
        final = {name: value for name, value in run.data.metrics.items() if name.startswith("best_")}
        assert all(len(points[name]) == 1 for name in final), "a final metric was sent twice"
        view.runs[number] = RunView(
            status=run.info.status,
            state=tags["hpsearch.state"],
            params=dict(run.data.params),
            series={name: series for name, series in points.items() if name not in final},
            best={name.removeprefix("best_"): value for name, value in final.items()},
            cause=tags.get("hpsearch.failure_cause"),
            kind=tags.get("hpsearch.failure_kind"),
        )
    for version in client.search_model_versions(f"name='{model}'"):
        view.versions[str(version.version)] = int(version.tags["hpsearch.trial"])
    if view.versions:
        view.champion = str(client.get_model_version_by_alias(model, "champion").version)
    return view


@pytest.fixture
def small_disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs to mount a small file system")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
