"""One page about a study that needs no server: `report.html`, with the charts beside it as pictures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.analysis import shown_champion, usage
from hpsearch.analysis.charts import Chart, charts
from hpsearch.analysis.endings import endings, near_the_best, pruned_trials, training_of
from hpsearch.analysis.evidence import (
    Interval,
    flattery,
    metric_intervals,
    selection,
    told_apart,
    trained_once,
)
from hpsearch.analysis.findings import Findings, best_few, findings
from hpsearch.analysis.importance import FEWEST, importances
from hpsearch.analysis.paired import parts_told_apart
from hpsearch.analysis.shown import shown
from hpsearch.code_version import CodeVersion
from hpsearch.files import write_text
from hpsearch.parts import described
from hpsearch.tracking.store import masked
from hpsearch.trial import TrialState
from hpsearch.trial_view import scores
from hpsearch.writing import duration, number, score

if TYPE_CHECKING:
    import optuna
    from markupsafe import Markup

    from hpsearch.study import Study
    from hpsearch.trial_view import TrialView

TOP = 20


@dataclass(frozen=True)
class Report:
    """What was written, and what it says."""

    page: Path
    pictures: tuple[Path, ...]
    sentences: tuple[str, ...]
    findings: Findings | None


def write_report(study: Study, folder: Path | None = None) -> Report:
    """Writes `report.html`, which is complete in itself, and each chart as a `.png` file.

    Args:
        study: Any, while it is searched or after.
        folder: Where to. Default: `report` in the study's folder.
    """
    page = study.files.report if folder is None else folder / study.files.report.name
    page.parent.mkdir(parents=True, exist_ok=True)
    copy = shown(study)
    shares = importances(copy)
    found = findings(study, shares)
    sentences = tuple(_sentences(study, found))
    drawn = charts(copy, shares)
    write_text(page, _page(study, copy, drawn, found, sentences))
    pictures = tuple(chart.paint(copy, page.parent) for chart in drawn)
    if folder is None:
        for earlier in {*page.parent.glob("*.png")} - {*pictures}:
            earlier.unlink(missing_ok=True)
    return Report(page, pictures, sentences, found)


def _page(
    study: Study,
    copy: optuna.Study,
    drawn: tuple[Chart, ...],
    found: Findings | None,
    sentences: tuple[str, ...],
) -> str:
    from jinja2 import Environment, StrictUndefined
    from plotly.offline import get_plotlyjs

    intervals = metric_intervals(study)
    text = files("hpsearch.analysis").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["coded"] = _coded
    template = environment.from_string(text)
    ranking = study.ranking
    feasible = [trial for trial in ranking if trial.feasible]
    mistakes, mistakes_picture = shown_champion.worst_mistakes(study)
    return template.render(
        study=study,
        summary=_summary(study),
        best=study.best,
        scores=list(_scores(study, intervals)),
        sentences=sentences,
        findings=found,
        top=len(best_few(feasible)),
        complete=len(ranking),
        fewest=FEWEST,
        leaderboard=ranking[:TOP],
        names=_names(ranking[:TOP], found),
        counts=_counts(study),
        pruned=pruned_trials(study)[:TOP],
        pictures=list(shown_champion.pictures(study)),
        tests=list(shown_champion.tests(study, intervals)),
        mistakes=mistakes,
        mistakes_picture=mistakes_picture,
        alike=shown_champion.alike(mistakes),
        champion=study.champion,
        takes=_coded(usage.takes(study)),
        use=usage.code(study),
        exports=[shown_champion.exported(each) for each in (study.champion or {}).get("exports", ())],
        figures=[_figure(chart, copy) for chart in drawn],
        plotly_js=get_plotlyjs() if drawn else "",
        failures=list(_failures(study)),
        made=_made(study),
        experiment=masked(study.experiment),
        deterministic=training_of(study).get("deterministic", False),
        written=number,
        score=score,
        values=lambda trial: scores(trial, study.objectives),
        duration=duration,
    )


def _summary(study: Study) -> str:
    data = study.facts.get("data", {})
    objectives = ", ".join(f"{direction} {metric}" for metric, direction in study.objectives.items())
    sizes = ", ".join(f"{count:,} {part}" for part, count in data.get("sizes", {}).items())
    return (
        f"{objectives}, on {data.get('name', '?')} ({sizes} rows), by {study.facts.get('strategy', '?')}. "
        f"{_state(study).capitalize()}: {_counts(study)}"
    )


def _state(study: Study) -> str:
    """Says how the study stands; its own driver, which holds it, may be about to write the last report."""
    return "finished" if study.has_ended else study.state


def _counts(study: Study) -> str:
    states = Counter(str(trial.state).lower() for trial in study.trials)
    spent = sum(trial.duration_s or 0.0 for trial in study.trials)
    epochs = sum(trial.epochs for trial in study.trials)
    counted = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "no trials"
    if study.infeasible:
        counted += f" ({len(study.infeasible)} of them infeasible)"
    return f"{counted}; {epochs:,} epochs; the trials' times add up to {duration(spent)}."


def _scores(study: Study, intervals: Mapping[str, Interval]) -> Iterator[dict[str, str]]:
    """Yields the first numbers to look at: of the best trial, and of the champion's test."""
    best = study.best[0] if study.best else None
    if best is None:
        return
    for metric, value in zip(study.objectives, best.values, strict=True):
        spread = best.spreads.get(metric)
        interval = f"± {score(spread.error)} (standard error, {described(best.parts)})" if spread else ""
        yield {"name": f"{metric}, trial {best.number}", "value": score(value), "interval": interval}
    champion = study.champion
    for metric in study.objectives if champion else ():
        name = f"test_{metric.removeprefix('val_')}"
        if champion and name in champion["test"]:
            yield {
                "name": name,
                "value": score(champion["test"][name]),
                "interval": _interval(intervals.get(name)),
            }


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f"{score(interval.low)} to {score(interval.high)} (95 %, {interval.rows:,} rows)"


def _sentences(study: Study, found: Findings | None) -> Iterator[str]:
    if found is not None:
        yield found.progress
    apart = parts_told_apart(study) or told_apart(study) or trained_once(study)
    short, together = (found.short, found.together) if found else (None, None)
    for sentence in (short, apart, near_the_best(study), together, flattery(study), selection(study)):
        if sentence is not None:
            yield sentence
    yield from endings(study)


def _coded(text: str) -> Markup:
    """Sets what stands between backticks as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _names(trials: tuple[TrialView, ...], found: Findings | None) -> list[str]:
    """Returns the hyperparameters of the leaderboard: those that vary, the most important first."""
    present = {name for trial in trials for name in trial.params}
    return [each.name for each in found.hyperparameters if each.name in present] if found else []


def _figure(chart: Chart, copy: optuna.Study) -> dict[str, str]:
    figure = chart.figure(copy)
    figure.update_layout(template="plotly_white", title=None, margin={"t": 30})
    html = figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"chart-{chart.name}")
    return {"title": chart.title, "tells": chart.tells, "html": html}


def _failures(study: Study) -> Iterator[dict[str, str]]:
    """Yields the causes of failures, the most frequent first, with the trials that had them."""
    found: dict[tuple[str, str], list[int]] = {}
    for trial in study.trials:
        if trial.state is TrialState.FAILED and trial.failure is not None:
            found.setdefault((str(trial.failure.kind), trial.failure.cause), []).append(trial.number)
    for (kind, cause), trials in sorted(found.items(), key=lambda item: -len(item[1])):
        shown_trials = ", ".join(map(str, trials[:10])) + (", ..." if len(trials) > 10 else "")
        yield {"kind": kind, "trials": f"{len(trials)}: {shown_trials}", "cause": cause}


def _made(study: Study) -> str:
    facts = study.facts
    versions = ", ".join(f"{name} {version}" for name, version in facts.get("versions", {}).items())
    code = CodeVersion(**facts.get("code", {}))
    commit = f" Git commit {code}." if code.commit else ""
    digest = facts.get("data", {}).get("digest")
    return f"Made with {versions}.{commit} Data digest {digest}. Study folder: {study.folder}."
