"""One trial, inside a worker: data, build, fit, save.

run_trial(experiment, spec, channel) -> Result | Failure
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from hpsearch.datasets import load_data
from hpsearch.datasets.text import vocabulary_of, write_vocabulary
from hpsearch.training import distribution, record, runtime
from hpsearch.training.charts import draw_curves
from hpsearch.training.course import Course
from hpsearch.training.deployed import Convert, Deployed, parameters_of
from hpsearch.training.failures import failure_of
from hpsearch.training.fit import fit, training_data
from hpsearch.training.hyperparameters import chooser
from hpsearch.training.mirrored import distributed
from hpsearch.training.plots import draw_judged
from hpsearch.training.prepare import BATCH_SIZE, prepare
from hpsearch.training.reuse import reuse_graphs
from hpsearch.training.saving import keeper, save_model
from hpsearch.training.state import StateKeeper, forget_state
from hpsearch.training.tensorboard import tensorboard
from hpsearch.training.validation import validation, validation_after
from hpsearch.training.watch import PrunedError, Watch
from hpsearch.trial import MODEL_FILE, VOCABULARY_FILE, Epoch, Failure, FailureKind, Result, TrialSpec, Value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpsearch.channel import Channel
    from hpsearch.datasets import Data
    from hpsearch.experiment import Experiment
    from hpsearch.space import Parameter
    from hpsearch.training.prepare import Prepared


def run_trial(
    experiment: Experiment, spec: TrialSpec, channel: Channel, convert: Convert | None = None
) -> Result | Failure:
    """Trains one trial and leaves its files in its folder.

    The trial's value is that of its best epoch by the first objective; the weights of that epoch are
    what `model.keras` holds. A trial that has finished before is told again, not trained again.

    Args:
        experiment: What is searched.
        spec: Which trial.
        channel: The way to the driver: hyperparameters are asked for, epochs reported.
        convert: Makes a file of a model, where a metric of that is an objective or constrained. Default: none
            can be made.

    Returns:
        The result, with `pruned` if the driver stopped it or it breaks a constraint before it is trained,
        `paused` if it came to the end of its leg; or why there is none. Nothing is raised but what Python
        itself uses to end a thread.
    """
    stage = _Stage()
    try:
        if (told := record.read_result(Path(spec.folder), experiment, spec)) is not None:
            return tell_again(*told, channel)
        return _train(experiment, spec, channel, stage, convert)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return failure_of(error, stage.kind)
    finally:
        runtime.tidy()


@dataclass
class _Stage:
    """Where a trial is: what an exception means if its type does not say."""

    kind: FailureKind = FailureKind.ERROR


def _train(
    experiment: Experiment, spec: TrialSpec, channel: Channel, stage: _Stage, convert: Convert | None
) -> Result:
    started_s = time.monotonic()
    folder = Path(spec.folder)
    record.forget_result(folder)
    runtime.set_up(experiment)
    stage.kind = FailureKind.DATA
    data = load_data(experiment.data, experiment.evaluation, spec.part)
    stage.kind = FailureKind.BUILD
    ledger = _Ledger(channel, spec.params)
    prepared = prepare(experiment, data, chooser(spec.params, ledger), seed=spec.seed)
    if not prepared.custom_fit:
        prepared = reuse_graphs(prepared)
    channel.built(dict(prepared.hp.values))
    stage.kind = FailureKind.EXPORT
    identity = record.identity(experiment, spec, ledger.chosen)
    deployed = Deployed(experiment, data, folder, convert, identity)
    deployed.before(prepared.model)
    if deployed.refused:
        return _refused(experiment, spec, ledger, prepared, deployed, started_s)
    stage.kind = FailureKind.ERROR
    course = Course(experiment, users_own=prepared.custom_fit)
    batch_size = prepared.batch_size or BATCH_SIZE
    if prepared.custom_fit:
        validate = validation_after(data, batch_size)
    else:
        validate = validation(data, batch_size, prepared.graphs)
    pause_after = spec.pause_after if (spec.pause_after or 0) < prepared.epochs else None
    watch = Watch(
        prepared.model,
        course,
        validate,
        channel,
        prunable=spec.prunable,
        keep=keeper(experiment.checkpoints, folder),
        pause_after=pause_after,
        reporting=prepared.reporting,
    )
    training = training_data(experiment, prepared, data, seed=spec.seed)
    with (
        _kept_state(experiment, spec, ledger, data, prepared, watch) as state,
        tensorboard(experiment, prepared, folder) as callbacks,
    ):
        if state is None or state.saved is None:
            record.forget_epochs(folder)
        try:
            with distributed(prepared.model):
                returned = fit(prepared, training, watch, callbacks, state, pause_after)
        except PrunedError:
            returned = {}
    metrics = course.finish(returned)
    params = dict(prepared.hp.values)
    if watch.paused:
        written = (record.write_params(folder, params), record.write_history(folder, course.epochs))
        return _result(prepared, watch, deployed, metrics, written, started_s)
    files: tuple[str, ...] = _write(folder, watch, params)
    if vocabulary := vocabulary_of(data.preprocessing):
        files = (*files, write_vocabulary(folder / VOCABULARY_FILE, vocabulary))
    files += _own_files(prepared, data, folder)
    if not watch.pruned:
        stage.kind = FailureKind.EXPORT
        deployed.after(watch.model)
        stage.kind = FailureKind.ERROR
    result = _result(prepared, watch, deployed, metrics, files, started_s)
    record.write_result(folder, experiment, spec, ledger.chosen, course.epochs, result)
    forget_state(folder)
    return result


def _refused(
    experiment: Experiment,
    spec: TrialSpec,
    ledger: _Ledger,
    prepared: Prepared,
    deployed: Deployed,
    started_s: float,
) -> Result:
    """Ends a trial that breaks a constraint before it is trained."""
    folder, params = Path(spec.folder), dict(prepared.hp.values)
    result = Result(
        params=params,
        metrics=dict(deployed.metrics),
        epochs=0,
        best_epoch=0,
        duration_s=time.monotonic() - started_s,
        pruned=True,
        constraints=deployed.violations,
        facts=_facts(prepared, prepared.model),
        files=(record.write_params(folder, params),),
    )
    record.write_result(folder, experiment, spec, ledger.chosen, (), result)
    return result


def _result(
    prepared: Prepared,
    watch: Watch,
    deployed: Deployed,
    metrics: Mapping[str, float],
    files: tuple[str, ...],
    started_s: float,
) -> Result:
    if watch.pruned:
        constraints = deployed.violations
    else:
        constraints = deployed.violations_of(metrics, whole=not watch.paused)
    return Result(
        params=dict(prepared.hp.values),
        metrics={**deployed.metrics, **metrics},
        constraints=constraints,
        epochs=len(watch.course.epochs),
        best_epoch=watch.course.best.number if watch.course.best else 0,
        duration_s=time.monotonic() - started_s,
        pruned=watch.pruned,
        paused=watch.paused,
        facts=_facts(prepared, watch.model),
        files=files,
    )


@contextmanager
def _kept_state(
    experiment: Experiment,
    spec: TrialSpec,
    ledger: _Ledger,
    data: Data,
    prepared: Prepared,
    watch: Watch,
) -> Iterator[StateKeeper | None]:
    """Gives what keeps the trial's state, which a user's own `fit` could not go on from.

    What the trial's numbers depend on beside the experiment belongs to the state's identity.
    """
    if prepared.custom_fit:
        yield None
        return
    identity = record.identity(experiment, spec, ledger.chosen)
    identity |= {"data": data.digest, "keras": keras.__version__, **runtime.facts()}
    every_s = experiment.checkpoints.state_every_s
    state = StateKeeper(Path(spec.folder), identity, watch, prepared.callbacks, every_s=every_s)
    try:
        yield state
    finally:
        state.close()


def _facts(prepared: Prepared, model: keras.Model) -> dict[str, Value]:
    known: dict[str, Value] = {"parameters": parameters_of(model)}
    if prepared.batch_size is not None:
        known["batch_size"] = prepared.batch_size
    return known | runtime.facts() | {"devices": distribution.devices(model)}


class _Ledger:
    """A channel that notes what the driver chose."""

    def __init__(self, channel: Channel, params: Mapping[str, Value]) -> None:
        self._channel = channel
        self.chosen: dict[str, Value] = dict(params)
        self.built = channel.built
        self.report = channel.report

    def suggest(self, parameter: Parameter) -> Value:
        value = self._channel.suggest(parameter)
        self.chosen[parameter.name] = value
        return value


def tell_again(epochs: tuple[Epoch, ...], result: Result, channel: Channel) -> Result:
    """Sends what the trial sent when it was trained; what the driver answered then stands."""
    channel.built(result.params)
    for epoch in epochs:
        channel.report(epoch, await_answer=False)
    return result


def _write(folder: Path, watch: Watch, params: Mapping[str, Value]) -> tuple[str, ...]:
    """Writes the trial's files; returns their names."""
    course = watch.course
    files = [record.write_params(folder, params), record.write_history(folder, course.epochs)]
    model, judged_outputs = watch.best()
    files.append(save_model(folder / MODEL_FILE, model))
    best_epoch = course.best.number if course.best else 0
    files += _drawn(draw_curves, folder / "curves.png", course.epochs, course.lead, best_epoch)
    for judged in judged_outputs:
        kind = "confusion_matrix" if judged.confidence is not None else "predictions"
        picture = folder / f"{judged.target.called(kind)}.png"
        files += _drawn(draw_judged, picture, judged, judged.target.called("validation"))
    return tuple(files)


def _own_files(prepared: Prepared, data: Data, folder: Path) -> tuple[str, ...]:
    """Has the model add files of its own: what `HyperModel.after_fit(model, data, folder)` returns.

    A trial does not fail for them.
    """
    after_fit = getattr(prepared.hypermodel, "after_fit", None)
    if after_fit is None:
        return ()
    try:
        return tuple(str(name) for name in after_fit(prepared.model, data, folder))
    except Exception as error:
        print(f"hpsearch: after_fit failed: {type(error).__name__}: {error}", file=sys.stderr)
        return ()


def _drawn(draw: Any, target: Path, *what: Any) -> list[str]:
    """Draws a picture; a trial does not fail for one."""
    try:
        draw(target, *what)
    except Exception as error:
        print(f"hpsearch: {target.name} was not drawn: {type(error).__name__}: {error}", file=sys.stderr)
        return []
    return [target.name]
