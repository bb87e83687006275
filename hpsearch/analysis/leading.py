"""Learning curves in which the best trials are seen: in colour, on an axis that shows where they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna

COLOURS = ("#0b63c5", "#d1495b", "#2e8b57")
"""Of the best trials, the best first."""
GREY = "#c9d1d9"
MARGIN = 1.5
"""How far beyond the worst complete trial the axis goes, in distances of that from the best."""


def lead_figure(figure: Any, study: optuna.Study) -> None:
    """Sets off the best trials in Optuna's Plotly figure of intermediate values."""
    colours = _colours(study)
    for trace in figure.data:
        leads = trace.name in colours
        trace.update(
            line={"color": colours.get(trace.name, GREY), "width": 2.5 if leads else 1},
            marker={"color": colours.get(trace.name, GREY)},
            showlegend=leads,
            zorder=int(leads),
        )
    figure.update_layout(showlegend=True)
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title=_metric(study), range=_range(study))


def lead_axes(axes: Any, study: optuna.Study) -> None:
    """Sets off the best trials in Optuna's Matplotlib axes of intermediate values."""
    colours = _colours(study)
    for line in axes.lines:
        leads = line.get_label() in colours
        line.set(color=colours.get(line.get_label(), GREY), linewidth=2 if leads else 0.8, zorder=2 + leads)
    leading = [line for line in axes.lines if line.get_label() in colours]
    axes.legend(handles=leading, loc="best")
    axes.set(title=None, xlabel="epoch", ylabel=_metric(study))
    if (ends := _range(study)) is not None:
        axes.set_ylim(*ends)


def _ranked(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    sign = 1 if study.direction.name == "MINIMIZE" else -1
    return sorted(complete, key=lambda trial: sign * trial.values[0])


def _colours(study: optuna.Study) -> dict[str, str]:
    """Returns the best trials' colours, by the names that Optuna gives their lines."""
    return {f"Trial{t.number}": c for t, c in zip(_ranked(study), COLOURS, strict=False)}


def _metric(study: optuna.Study) -> str:
    return (study.metric_names or ["objective"])[0]


def _range(study: optuna.Study) -> tuple[float, float] | None:
    """Returns the ends of the axis: early epochs and trials that went wrong would press all else together.

    Returns:
        None where all trials are equally good.
    """
    ranked = _ranked(study)
    best, worst = ranked[0].values[0], ranked[-1].values[0]
    if best == worst:
        return None
    low, high = sorted((best + (best - worst) / 10, worst - MARGIN * (best - worst)))
    return low, high
