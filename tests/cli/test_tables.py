"""Tables of studies and trials."""

import io

from rich.console import Console

from hpsearch.cli.tables import one_trial
from hpsearch.trial import TrialState
from hpsearch.trial_view import TrialView


def shown(table):
    file = io.StringIO()
    Console(file=file, width=200).print(table)
    return file.getvalue()


def test_metrics_of_single_classes_are_left_out_but_for_the_objective():
    metrics = {"val_loss": 0.1, "val_f1_class_ham": 0.99, "val_f1_class_spam": 0.95}
    test = {"test_loss": 0.2, "test_f1_class_ham": 0.98, "test_f1_class_spam": 0.93}
    trial = TrialView(3, TrialState.COMPLETE, {"units": 8}, (0.95,), metrics, 2, 1, 1.0, None)
    text = shown(one_trial(trial, test, ["val_f1_class_spam"]))
    for part in ("trial 3", "units", "val_loss", "val_f1_class_spam", "test_f1_class_spam", "0.93"):
        assert part in text
    assert "ham" not in text
