"""What a search optimises, and in which direction; known before anything is trained.

Directions come from the metric's name, because a name is all that an epoch reports. Where names leave
any doubt, an error asks: a wrong direction returns the worst trial as the best.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from hpsearch.errors import ObjectiveError, did_you_mean, fault

if TYPE_CHECKING:
    from hpsearch.experiment import ObjectiveSection

Direction = Literal["minimize", "maximize"]

_words = re.compile(r"\w+").findall

_MAXIMIZE = _words("""
    accuracy acc precision recall sensitivity specificity ppv npv tpr tnr hit_rate
    true_positives true_negatives true_positive_rate true_negative_rate
    precision_at_recall recall_at_precision sensitivity_at_specificity specificity_at_sensitivity
    f1 f1_score f1score f2 f2_score f_score fbeta fbeta_score f_beta_score
    auc roc_auc pr_auc auroc auprc average_precision mean_average_precision ndcg mrr
    iou io_u mean_iou mean_io_u binary_iou binary_io_u one_hot_iou one_hot_io_u one_hot_mean_iou
    one_hot_mean_io_u jaccard jaccard_index dice dice_coefficient dice_coef dice_score psnr ssim
    kappa cohen_kappa quadratic_kappa mcc matthews_corrcoef matthews_correlation
    r2 r2_score r_squared r_square explained_variance d2_score
    cosine_similarity pearson_correlation concordance_correlation spearman_correlation pearsonr ccc
    bleu rouge rouge_l rouge_n meteor log_likelihood elbo
""")

_MINIMIZE = _words("""
    loss error err error_rate mean_squared_error mean_absolute_error root_mean_squared_error
    mean_absolute_percentage_error mean_squared_logarithmic_error median_absolute_error max_error
    mse mae rmse mape smape msle rmsle logcosh log_cosh huber pinball crps
    hinge squared_hinge categorical_hinge poisson deviance ctc
    kl kld kl_divergence kullback_leibler_divergence js_divergence
    crossentropy cross_entropy bce cce nll logloss log_loss perplexity
    brier brier_score ece wer cer edit_distance levenshtein hausdorff hausdorff_distance fid
    parameters flops tflite_size_kib tflite_latency_ms latency_ms size_kib
    false_positives false_negatives false_positive_rate false_negative_rate false_discovery_rate fpr fnr
""")

_DIRECTIONS: dict[str, Direction] = {
    **dict.fromkeys(_MINIMIZE, "minimize"),
    **dict.fromkeys(_MAXIMIZE, "maximize"),
}
_OPPOSITE: dict[Direction, Direction] = {"minimize": "maximize", "maximize": "minimize"}
_NEGATIONS = ("neg", "negative")

# What may follow a metric's name: the class or average it is of, a rank, the number Keras appends to the
# second metric of a kind.
_CLASS = re.compile(r"_(?:class|label)_.+$")
_AVERAGE = re.compile(r"_(?:macro|micro|weighted|samples|binary|mean|avg|average)$")
_NUMBER = re.compile(r"(?:_at_|@)\d+(?:[._]\d+)?$|_\d+$")
_STAGE = re.compile(r"^(?:train|val|validation|test)_")
_CAPITALS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True)
class Objective:
    """A metric and the direction in which it is better."""

    metric: str
    direction: Direction
    warning: str | None = field(default=None, compare=False)
    """Something a person should know of this choice."""


def resolve(
    section: ObjectiveSection,
    known: Iterable[str] | None = None,
    *,
    any_metric: bool = False,
    where: str = "objective",
) -> Objective:
    """Makes sure that an objective exists and has a direction.

    Args:
        section: What the experiment says.
        known: Metrics an epoch reports. Default: not known yet, so any name will do.
        any_metric: Whether an epoch may report more than `known`, as training of the user's own does.
        where: Names the objective, for messages, e.g. `experiments/mnist.yaml: objective`.

    Raises:
        ObjectiveError: There is no such metric, or its direction is not known and not given.
    """
    metric = section.metric
    reported = None if known is None else tuple(known)
    if reported is not None and metric not in reported and not any_metric:
        raise ObjectiveError(
            fault(
                where,
                "there is no such metric",
                expected=f"one of {', '.join(reported)}",
                received=metric,
                advice=_nearest(metric, reported),
            )
        )
    usual = infer_direction(metric)
    direction = section.direction or usual
    if direction is None:
        raise ObjectiveError(
            fault(
                where,
                f"whether `{metric}` is better when larger or smaller is not known",
                expected="a `direction`, `minimize` or `maximize`, beside the metric",
                advice=f"Write `objective: {{metric: {metric}, direction: maximize}}`.",
            )
        )
    return Objective(metric, direction, _warning(metric, direction, usual, reported or (), where))


def infer_direction(metric: str) -> Direction | None:
    """Tells from a metric's name in which direction it is better.

    Args:
        metric: As an epoch reports it: `val_f1_macro`, `head_accuracy`, `auc_1`, `neg_mean_squared_error`.

    Returns:
        None when the name does not tell.
    """
    name = _CAPITALS.sub("_", metric.strip()).lower() if not metric.isupper() else metric.lower()
    name = re.sub(r"[ \-]+", "_", name)
    # Of `f1_class_loss` the class is called `loss`; of `val_class_loss` the output is called `class`.
    while (found := _of(_CLASS.sub("", name)) or _of(name)) is None:
        shorter = _AVERAGE.sub("", _NUMBER.sub("", name))
        if shorter == name:
            return None
        name = shorter
    return found


def _of(name: str) -> Direction | None:
    """Looks up the longest known name that `name` ends with; a negation before it turns it round."""
    parts = _STAGE.sub("", name).split("_")
    for start in range(len(parts)):
        direction = _DIRECTIONS.get("_".join(parts[start:]))
        if direction is not None:
            return _OPPOSITE[direction] if start and parts[start - 1] in _NEGATIONS else direction
    return None


def _nearest(metric: str, known: tuple[str, ...]) -> str | None:
    if f"val_{metric}" in known:
        return f"Did you mean `val_{metric}`?"
    return did_you_mean(metric, known)


def _warning(
    metric: str, direction: Direction, usual: Direction | None, known: tuple[str, ...], where: str
) -> str | None:
    if usual is not None and direction != usual:
        return f"{where}: `{metric}` is to {direction} as asked, though it is usually to {usual}."
    if f"val_{metric}" in known:
        return (
            f"{where}: `{metric}` is measured on the training data, which favours overfitting; "
            f"`val_{metric}` is measured on the validation data."
        )
    return None
