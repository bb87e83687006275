"""The charts of a study: Optuna's, as Plotly figures for the report and as pictures for everything else."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.leading import lead_axes, lead_figure
from hpsearch.files import whole

if TYPE_CHECKING:
    import optuna

FEWEST = 2
"""Complete trials from which there is something to draw."""
MOST_PARAMETERS = 12
"""Hyperparameters in one chart, the most important ones."""
IN_A_ROW = 4
"""Hyperparameters side by side."""
DPI = 110


@dataclass(frozen=True)
class Chart:
    """One chart of a study."""

    name: str
    """Of the picture's file, and in the page."""
    title: str
    tells: str
    """What it answers, in a sentence."""
    function: str
    """Of `optuna.visualization`, and of its `matplotlib`."""
    arguments: dict[str, Any]
    size: tuple[float, float] = (7.0, 4.6)
    """Of the picture, in inches."""
    leads: bool = False
    """Whether its lines are trials, the best of which are to be seen."""

    def figure(self, study: optuna.Study) -> Any:
        """Returns it as a Plotly figure."""
        import optuna.visualization

        figure = _quietly(getattr(optuna.visualization, self.function), study, **self.arguments)
        if self.leads:
            lead_figure(figure, study)
        return figure

    def paint(self, study: optuna.Study, folder: Path) -> Path:
        """Draws it into `<folder>/<name>.png`."""
        import matplotlib as mpl

        mpl.use("agg")
        import matplotlib.pyplot as plt
        import optuna.visualization.matplotlib

        target = folder / f"{self.name}.png"
        try:
            axes = _quietly(getattr(optuna.visualization.matplotlib, self.function), study, **self.arguments)
            if self.leads:
                lead_axes(axes, study)
            with whole(target) as path, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about texts that do not fit
                plt.gcf().set_size_inches(*self.size)
                plt.gcf().savefig(path, dpi=DPI, bbox_inches="tight", metadata={"Software": None})
        finally:
            plt.close("all")
        return target


def charts(study: optuna.Study, importances: dict[str, float]) -> tuple[Chart, ...]:
    """Returns the charts that a study has enough trials for.

    Args:
        study: As `shown` makes it.
        importances: Of its hyperparameters, the most important first.
    """
    complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    single = len(study.directions) == 1
    found: list[Chart] = []
    if any(trial.datetime_start and trial.datetime_complete for trial in study.trials):
        tells = "When each trial ran, and how it ended. In a gap a slot had nothing to do."
        found.append(Chart("timeline", "Timeline", tells, "plot_timeline", {}))
    if len(complete) < FEWEST:
        return tuple(found)
    leading: dict[str, Any] = {"target_name": (study.metric_names or ["objective"])[0]}
    if not single:
        leading["target"] = _leading
        if len(study.directions) in (2, 3):
            tells = "What one objective costs in terms of another: no trial beats those of the front."
            found.insert(0, Chart("pareto_front", "Pareto front", tells, "plot_pareto_front", {}))
    tells = "Every complete trial in order, and the best so far: is the search still improving?"
    found.insert(0, Chart("history", "Optimization history", tells, "plot_optimization_history", leading))
    if single and any(trial.intermediate_values for trial in study.trials):
        tells = (
            "The objective after each epoch, the best trials in colour. Lines that end early are of pruned "
            "trials, or of some that no longer improved; what lies far below or above the rest is cut off."
        )
        found.append(Chart("learning", "Learning curves", tells, "plot_intermediate_values", {}, leads=True))
    tells = "The share of the complete trials up to each value: where it is steep there are many."
    found.append(Chart("edf", "Distribution of the results", tells, "plot_edf", leading))
    return (*found, *_of_parameters(complete, importances, leading))


def _of_parameters(
    complete: list[Any], importances: dict[str, float], leading: dict[str, Any]
) -> tuple[Chart, ...]:
    """Returns the charts that show hyperparameters: those that two complete trials differ in."""
    values: dict[str, set[Any]] = {}
    for trial in complete:
        for name, value in trial.params.items():
            values.setdefault(name, set()).add(value)
    varied = [name for name, seen in values.items() if len(seen) > 1]
    varied.sort(key=lambda name: -importances.get(name, 0.0))
    if not varied:
        return ()
    top = varied[:MOST_PARAMETERS]
    which = f" The {len(top)} most important of {len(varied)}." if len(top) < len(varied) else ""
    found = [
        *_slices(top, leading, which),
        Chart(
            "parallel_coordinate",
            "Trials as lines",
            f"One line a trial through its values: which combinations do well?{which}",
            "plot_parallel_coordinate",
            {"params": top, **leading},
            (9.0, 4.6),
        ),
    ]
    everywhere = [name for name in top if all(name in trial.params for trial in complete)]
    if len(everywhere) > 1 and importances:  # else these would be any two
        pair = everywhere[:3]
        found += [
            Chart(
                "contour",
                "Pairs of hyperparameters",
                "The result over two at a time of the most important hyperparameters that all trials have.",
                "plot_contour",
                {"params": pair, **leading},
                (9.0, 8.0),
            ),
            Chart(
                "rank",
                "Ranks over pairs",
                "The same, coloured by rank: a few very bad results do not hide the rest.",
                "plot_rank",
                {"params": pair, **leading},
                (9.0, 8.0),
            ),
        ]
    return tuple(found)


def _slices(names: list[str], leading: dict[str, Any], which: str) -> Iterator[Chart]:
    """Yields as many charts as it takes to have few hyperparameters in each."""
    parts = [names[start : start + IN_A_ROW] for start in range(0, len(names), IN_A_ROW)]
    for number, part in enumerate(parts, start=1):
        yield Chart(
            "slice" if number == 1 else f"slice_{number}",
            "Each hyperparameter alone" + (f" ({number} of {len(parts)})" if len(parts) > 1 else ""),
            f"The result by each hyperparameter's value; later trials are darker.{which}",
            "plot_slice",
            {"params": part, **leading},
            (2.6 * len(part) + 1.0, 3.4),
        )


def _leading(trial: optuna.trial.FrozenTrial) -> float:
    return float(trial.values[0])


def _quietly(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Calls one of Optuna's charts, some of which say with each call that they are experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **options)
