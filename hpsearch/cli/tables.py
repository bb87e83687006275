"""Studies and spaces for people, as rich tables. Text of the user's is shown as it is, never as markup."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from hpsearch.cli.documents import counts, param_names
from hpsearch.conditions import value_of
from hpsearch.retention import disk_use
from hpsearch.trial import Epoch, ExportResult, Failure, RateRangeResult, TrialState
from hpsearch.trial_view import scores
from hpsearch.variants import comparisons
from hpsearch.writing import duration, number, score, size

if TYPE_CHECKING:
    from hpsearch.checking import CheckReport
    from hpsearch.outlook import Preflight
    from hpsearch.space import Parameter
    from hpsearch.study import Study
    from hpsearch.trial_view import TrialView

INFEASIBLE = "infeasible"
"""Stands where the rank of a trial would."""
UNLIMITED = 10_000
"""Columns of what is not a terminal."""
_RULER = Console(width=UNLIMITED)

STATE_STYLES = {
    TrialState.COMPLETE: "green",
    TrialState.PRUNED: "yellow",
    TrialState.FAILED: "red",
    TrialState.RUNNING: "cyan",
}


def plain_table(*headers: str, title: str | None = None) -> Table:
    """Makes a table with few lines; it grows with its content."""
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for header in headers:
        table.add_column(Text(header), overflow="fold")
    return table


def console(*, stderr: bool = False) -> Console:
    """Opens the terminal; into a file or a pipe nothing is wrapped."""
    opened = Console(stderr=stderr, highlight=False)
    return opened if opened.is_terminal else Console(stderr=stderr, highlight=False, width=UNLIMITED)


def leaderboard(study: Study, width: int, top: int = 20) -> Table:
    """Ranks the complete trials: hyperparameters, objectives, epochs, time."""
    ranking = study.ranking[:top]
    complete = sum(trial.state is TrialState.COMPLETE for trial in study.trials)
    title = f"{study.name}: the best {len(ranking)} of {complete} complete trials"
    return _trials(ranking, study.objectives, width, title=title, ranked=True)


def front(study: Study, width: int) -> Table:
    """Lists the trials of the Pareto front, best first by the first objective."""
    complete = sum(trial.state is TrialState.COMPLETE for trial in study.trials)
    title = f"{study.name}: the Pareto front, {len(study.best)} of {complete} complete trials"
    return _trials(study.best, study.objectives, width, title=title, ranked=True)


def trials(study: Study, width: int) -> Table:
    """Lists all trials, with the cause of those that failed."""
    return selected(study, study.trials, width)


def selected(study: Study, shown: tuple[TrialView, ...], width: int) -> Table:
    """Lists some trials, in the order given."""
    what = "all trials" if len(shown) == len(study.trials) else f"{len(shown)} of {len(study.trials)} trials"
    return _trials(shown, study.objectives, width, title=f"{study.name}: {what}", ranked=False)


def columns(shown: Iterable[TrialView], names: tuple[str, ...]) -> Table:
    """Lists trials with the columns asked for."""
    table = plain_table("trial", *names)
    for trial in shown:
        table.add_row(str(trial.number), *(Text(number(value_of(trial, name))) for name in names))
    return table


def _trials(
    shown: tuple[TrialView, ...], objectives: Mapping[str, str], width: int, *, title: str, ranked: bool
) -> Table:
    """Gives each hyperparameter a column, or all of them one where the terminal is too narrow for that."""
    names, common = _columns(shown)
    rows = [_row(trial, rank if ranked else None, objectives) for rank, trial in enumerate(shown, start=1)]
    head = [*(["#"] if ranked else []), "trial", *objectives]
    tail = ["epochs", "time", *([] if ranked else ["state"])]
    wide = plain_table(*head, *tail, *names, title=title)
    narrow = plain_table(*head, *tail, "hyperparameters", title=title)
    for position, (trial, cells) in enumerate(zip(shown, rows, strict=True)):
        style = "bold" if ranked and position == 0 and trial.feasible else None
        own = {name: trial.params[name] for name in names if name in trial.params}
        wide.add_row(*cells, *(Text(number(trial.params.get(name))) for name in names), style=style)
        narrow.add_row(*cells, Text(describe(own)), style=style)
    table = wide if Measurement.get(_RULER, _RULER.options, wide).maximum <= width else narrow
    if common:
        table.caption = Text(f"In all of them: {describe(common)}")
        table.caption_justify = "left"
    return table


def _row(trial: TrialView, rank: int | None, objectives: Mapping[str, str]) -> list[Text]:
    values = scores(trial, objectives) or ["-"] * len(objectives)
    cells = [*([str(rank)] if rank is not None else []), str(trial.number), *values]
    row = [Text(cell) for cell in [*cells, str(trial.epochs), duration(trial.duration_s)]]
    if rank is not None and trial.broken:
        row[0] = Text(INFEASIBLE, style="red")
    if rank is None:
        cause = f" {failure(trial.failure, trial.attempts)}" if trial.failure else _broken(trial)
        state = "paused" if trial.paused else str(trial.state).lower()
        row.append(Text.assemble((state, STATE_STYLES[trial.state]), cause))
    return row


def _broken(trial: TrialView) -> str:
    return f", infeasible: not {', '.join(trial.broken)}" if trial.broken else ""


def _columns(shown: tuple[TrialView, ...]) -> tuple[list[str], dict[str, Any]]:
    """Splits the hyperparameters into those that differ, and those with one value in all trials."""
    names = param_names(shown)
    common = {}
    for name in names if len(shown) > 1 else ():
        values = [trial.params[name] for trial in shown if name in trial.params]
        # A trial that failed may not have got as far as declaring it.
        complete = all(name in trial.params or trial.state is TrialState.FAILED for trial in shown)
        if complete and all(value == values[0] for value in values):
            common[name] = values[0]
    return [name for name in names if name not in common], common


def one_trial(trial: TrialView, test: Mapping[str, float], objectives: Iterable[str]) -> Table:
    """Lists a trial's hyperparameters, its metrics and, where it was tested, the test metrics."""
    table = plain_table(f"trial {trial.number}", "")
    for name, value in {**trial.params, **_main({**trial.metrics, **test}, objectives)}.items():
        error = None if name in trial.params or name in test else trial.spreads.get(name)
        table.add_row(Text(name), Text(number(value) + (f" ± {error.error:.2g}" if error else "")))
    return table


def parts(trial: TrialView, objectives: Iterable[str]) -> Table:
    """Lists a trial's folds and repeats: objectives, epochs, time, and which one's model was kept."""
    names = list(objectives)
    table = plain_table("part", *names, "epochs", "the best", "time", "")
    for each in trial.parts:
        values = [number(each.metrics.get(name)) for name in names]
        course = (str(each.epochs), str(each.best_epoch), duration(each.duration_s))
        kept = "its model is the trial's" if each.kept else ""
        table.add_row(*map(Text, (each.part.label, *values, *course, kept)))
    return table


def study_facts(study: Study) -> Table:
    """Says how a study stands."""
    used = disk_use(study.files)
    rows = [
        ("study", study.name),
        ("state", study.state),
        ("objective", ", ".join(f"{direction} {metric}" for metric, direction in study.objectives.items())),
        ("trials", ", ".join(f"{count} {state}" for state, count in _counts(study).items()) or "none"),
        *([("infeasible", _infeasible(study))] if study.infeasible else []),
        *(("best", f"{_scores(trial, study.objectives)} (trial {trial.number})") for trial in study.best[:5]),
        *_champion_rows(study.champion, study.objectives),
        ("folder", str(study.folder)),
        *([("report", str(study.files.report))] if study.files.report.exists() else []),
        *_preflight_rows(study.files.preflight),
        ("disk", f"{size(used.total)}, {size(used.models)} of it the models of trials"),
    ]
    return facts(rows)


def _preflight_rows(file: Path) -> list[tuple[str, str]]:
    """Says what the pre-flight found, if there was one."""
    try:
        return [("pre-flight", json.loads(file.read_text(encoding="utf-8"))["summary"])]
    except (OSError, ValueError, KeyError):
        return []


def _infeasible(study: Study) -> str:
    """Counts the trials that break each constraint."""
    broken = Counter(name for trial in study.infeasible for name in trial.broken)
    return f"{len(study.infeasible)} of these: " + ", ".join(f"{n} not {name}" for name, n in broken.items())


def _counts(study: Study) -> dict[str, int]:
    """Counts the trials; without a driver those that run only wait to be continued."""
    found = dict(sorted(counts(study).items()))
    if study.state != "running" and "running" in found:
        found["to be continued"] = found.pop("running")
    return found


def _champion_rows(
    champion: Mapping[str, Any] | None, objectives: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Says what became of the best trial: validation and test score, files, registered version."""
    if champion is None:
        return []
    values, test = champion["values"], champion.get("test", {})
    scores = [f"{name} {score(values[name])}" for name in objectives if name in values]
    names = [f"test_{name.removeprefix('val_')}" for name in objectives]
    scores += [f"{name} {score(test[name])}" for name in names if name in test]
    rows = [("champion", f"trial {champion['trial']}: {', '.join(scores)}")]
    if champion.get("version"):
        version = f"{champion['registered_as']} version {champion['version']}, alias champion"
        rows.append(("registered", version))
    rows.append(("Keras model", champion["model"]))
    exports = champion.get("exports", ())
    rows += [(each["format"], f"{each['path']} ({export_line(each)})") for each in exports]
    rows += [("", sentence) for sentence in comparisons([ExportResult.from_dict(each) for each in exports])]
    return rows


def _scores(trial: TrialView, objectives: Mapping[str, str]) -> str:
    values = zip(objectives, scores(trial, objectives), strict=True)
    return ", ".join(f"{metric} {value}" for metric, value in values)


def facts(rows: Iterable[tuple[str, str]]) -> Table:
    """Lists what is known, a label and a text a line."""
    table = Table.grid(padding=(0, 2))
    for label, value in rows:
        table.add_row(Text(label, style="bold"), Text(value, overflow="fold"))
    return table


def export_line(export: Mapping[str, Any]) -> str:
    """Says how large an exported file is, how well it agrees with Keras, and how fast it is."""
    parts = [f"{export['size_bytes'] / 1024:.0f} KiB"]
    if export.get("agreement") is not None:
        parts.append(f"agrees with Keras on {export['agreement']:.1%} of {export['samples']} samples")
    parts.append(f"largest difference {export['largest_difference']:.1e}")
    if export.get("speed"):
        parts.append(f"{export['speed']['latencies'][0]['median_ms']:.3g} ms a row")
    return ", ".join([*parts, *export.get("notes", ())])


def space(parameters: Iterable[Parameter], overridden: Iterable[str]) -> Table:
    """Lists hyperparameters: what is searched, and when they exist."""
    changed = set(overridden)
    table = plain_table("hyperparameter", "values", "default", "only if")
    for parameter in parameters:
        conditions = " and ".join(
            f"{c.name} in {', '.join(number(v) for v in c.values)}" for c in parameter.conditions
        )
        name = Text(parameter.name)
        if parameter.name in changed:
            name.append(" (set in the file)", style="dim")
        table.add_row(name, Text(span(parameter)), Text(number(parameter.default)), Text(conditions))
    return table


def span(parameter: Parameter) -> str:
    """Says what values a hyperparameter can have: `16 to 512, step 2, log`."""
    if parameter.low is None or parameter.high is None:
        return ", ".join(number(value) for value in parameter.grid or ())
    text = f"{number(parameter.low)} to {number(parameter.high)}"
    if parameter.step is not None and not (parameter.step == 1 and parameter.sampling == "linear"):
        text += f", step {number(parameter.step)}"
    return text if parameter.sampling == "linear" else f"{text}, {parameter.sampling}"


def check_facts(report: CheckReport, ahead: Preflight | None = None) -> Table:
    """Says what checking an experiment has shown."""
    probe, data = report.probe, report.probe.data
    size = report.space.size()
    task = f"{data.task}, {len(data.class_names)} classes" if data.class_names else data.task
    sizes = ", ".join(f"{rows} {split}" for split, rows in data.sizes.items())
    flops = "" if probe.flops is None else f", {probe.flops:,} flops a row,"
    rows = [
        ("data", f"{data.name}: {task}; {sizes}"),
        ("", ", ".join(f"{array} {shape}" for array, shape in data.shapes.items())),
        ("model", f"{probe.parameters:,} weights{flops} with default values"),
        ("objective", ", ".join(f"{o.direction} {o.metric}" for o in report.objectives)),
        ("strategy", report.strategy.summary),
        ("space", f"{size:,} combinations" if size is not None else "continuous"),
        ("metrics", ", ".join(_main(dict.fromkeys(probe.metrics, 0.0))) + _and_classes(probe.metrics)),
        ("versions", ", ".join(f"{name} {version}" for name, version in probe.versions.items())),
    ]
    return facts([*rows, *_ahead(ahead)] if ahead else rows)


def _ahead(found: Preflight) -> Iterator[tuple[str, str]]:
    """Says what the search will meet."""
    if found.built:
        weights = sorted(build.parameters for build in found.built)
        memory = max(build.memory_bytes for build in found.built)
        span = f"{weights[0]:,} to {weights[-1]:,} weights, median {weights[len(weights) // 2]:,}"
        yield "sampled", f"{len(found.builds)} points: {span}; up to {size(memory)} to train"
    for cause, points in Counter(build.cause for build in found.refused).items():
        yield "", f"{points} of {len(found.builds)} points do not build: {cause}"
    for fmt, cause in found.exports.items():
        yield "export", f"{fmt}: {cause or 'possible'}"
    if found.pace is not None:
        pace = f"{duration(found.pace.epoch_s)} an epoch, {duration(found.pace.around_s)} around it"
        yield "time", f"{pace}; {found.slots} at a time"
    if found.search_s is not None:
        yield "", f"at most about {duration(found.search_s)} for the search"


def rates_facts(found: RateRangeResult) -> Table:
    """Says which learning rates are worth searching, as the experiment file would have it."""
    rows = [("tested", f"{found.optimizer} on batches of {found.batch_size}, {len(found.rates)} steps")]
    if found.suggestion is not None and found.low is not None and found.high is not None:
        low, high = rate(found.low), rate(found.high)
        rows += [
            ("suggestion", f"{rate(found.suggestion)}, where the loss falls most steeply"),
            ("limit", f"{high}, above which it no longer falls"),
            ("search.space", f"learning_rate: {{low: {low}, high: {high}, log: true}}"),
        ]
    if found.picture is not None:
        rows.append(("picture", found.picture))
    return facts(rows)


def rate_step(step: Epoch) -> str:
    """Says in a few words how a step of a learning-rate test went."""
    return f"rate {rate(step.metrics['learning_rate'])} loss {score(step.metrics['loss'])}"


def rate(value: float) -> str:
    """Writes a learning rate as an experiment file would have it: `3e-4`, `0.031`."""
    text = f"{value:.2g}"
    if value >= 0.01:
        return text
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits.removesuffix('.0')}e{int(exponent)}"


def failure(failed: Failure, attempts: int) -> str:
    """Says why a trial failed: `nan: the loss became nan at epoch 2`, `crash, after 2 attempts: ...`."""
    often = f", after {attempts} attempts" if attempts > 1 else ""
    return f"{failed.kind}{often}: {failed.cause}"


def describe(params: Mapping[str, object]) -> str:
    """Writes hyperparameters on a line."""
    return " ".join(f"{name}={number(value)}" for name, value in params.items())


def _and_classes(metrics: Iterable[str]) -> str:
    kinds = dict.fromkeys(name.partition("_class_")[0] for name in metrics if "_class_" in name)
    return "".join(f", {kind}_class_..." for kind in kinds)


def _main(metrics: Mapping[str, float], objectives: Iterable[str] = ()) -> dict[str, float]:
    """Leaves out the metrics of single classes, unless they are what was searched for."""
    sought = {name for metric in objectives for name in (metric, f"test_{metric.removeprefix('val_')}")}
    return {name: value for name, value in metrics.items() if "_class_" not in name or name in sought}
