"""Learning curves of LCBench (Zimmer et al., 2021), from the surrogate of YAHPO Gym (Pfisterer et al., 2022).

34 data sets, 7 hyperparameters of an MLP, 50 epochs. The surrogate is an ONNX file; `SOURCE.txt` beside it
says where it is from. Needs `onnxruntime`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.space import Parameter, Space
from hpsearch.testing.simulation import Ask, Point
from hpsearch.trial import Value

METRIC, COST = "val_accuracy", "parameters"
EPOCHS = 50
_FIRST = 2  # of the surrogate's epochs: 1 is untrained, 52 is odd
TASKS = ("3945", "7593", "126026", "167152", "167168", "168910", "189873", "189906")
"""Eight data sets, those of YAHPO Gym's own benchmark suites among them."""

PARAMETERS = (
    Parameter("batch_size", "int", 91, low=16, high=512, sampling="log"),
    Parameter("learning_rate", "float", 3.2e-3, low=1e-4, high=1e-1, sampling="log"),
    Parameter("momentum", "float", 0.5, low=0.1, high=0.99),
    Parameter("weight_decay", "float", 0.05, low=1e-5, high=1e-1),
    Parameter("num_layers", "int", 3, low=1, high=5),
    Parameter("max_units", "int", 256, low=64, high=1024, sampling="log"),
    Parameter("max_dropout", "float", 0.5, low=0.0, high=1.0),
)


def folder() -> Path | None:
    """Returns `$HPSEARCH_BENCH_DIR/lcbench` if the surrogate is there and can be run."""
    place = Path(os.environ.get("HPSEARCH_BENCH_DIR", "")) / "lcbench"
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        return None
    return place if (place / "model.onnx").is_file() else None


class Surrogate:
    """The trained surrogate, for all data sets."""

    def __init__(self, place: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(place / "model.onnx"), options)
        self._codes = json.loads((place / "encoding.json").read_text())["OpenML_task_id"]

    def predict(self, task: str, points: NDArray[Any]) -> NDArray[Any]:
        """Returns seconds, accuracy (%), ... of `(n, 8)` points, the epoch first: `(n, 6)`."""
        code = np.full((len(points), 1), self._codes[task], np.int32)
        found: NDArray[Any] = self._session.run(None, {"x_cat": code, "x_cont": points.astype(np.float32)})[0]
        return found


class LCBench:
    """The learning curves of one data set."""

    space = Space(PARAMETERS)

    def __init__(self, surrogate: Surrogate, task: str) -> None:
        self._surrogate = surrogate
        self._task = task
        self._curves: dict[tuple[Value, ...], Sequence[Point]] = {}

    def declare(self, ask: Ask) -> dict[str, Value]:
        """Declares the seven hyperparameters."""
        return {parameter.name: ask(parameter) for parameter in PARAMETERS}

    def curve(self, params: Mapping[str, Value]) -> Sequence[Point]:
        """Looks up 50 epochs; their time is the surrogate's too."""
        values = tuple(params[parameter.name] for parameter in PARAMETERS)
        if values not in self._curves:
            points = np.tile(np.array([0.0, *map(float, values)]), (EPOCHS, 1))
            points[:, 0] = np.arange(_FIRST, _FIRST + EPOCHS)
            rows = self._surrogate.predict(self._task, points)
            ends_s = np.maximum.accumulate(rows[:, 0])
            seconds = np.maximum(np.diff(ends_s, prepend=0.0), 1e-3)
            self._curves[values] = [
                Point({METRIC: float(row[1]), COST: parameters(params)}, float(each))
                for row, each in zip(rows, seconds, strict=True)
            ]
        return self._curves[values]

    @cached_property
    def scale(self) -> tuple[float, float]:
        """The best and the median final error, in %, of 20,000 random configurations."""
        errors, _ = self._random
        return float(errors.min()), float(np.median(errors))

    @cached_property
    def _random(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The final errors, in %, and the parameters of 20,000 random configurations."""
        random = np.random.default_rng(0)
        points = np.empty((20_000, 8))
        points[:, 0] = _FIRST + EPOCHS - 1
        for column, p in enumerate(PARAMETERS, start=1):
            low, high = float(p.low or 0), float(p.high or 0)
            share = random.random(len(points))
            log = p.sampling == "log"
            points[:, column] = low * (high / low) ** share if log else low + (high - low) * share
            if p.kind == "int":
                points[:, column] = np.round(points[:, column])
        errors = np.concatenate(
            [100.0 - self._surrogate.predict(self._task, part)[:, 1] for part in np.array_split(points, 20)]
        )
        names = [parameter.name for parameter in PARAMETERS]
        counts = [parameters(dict(zip(names, map(float, row), strict=True))) for row in points[:, 1:]]
        return errors, np.array(counts)

    def regret(self, params: Mapping[str, Value]) -> float:
        """Returns how far a configuration, fully trained, is from the best: 0, to the median: 1."""
        best, median = self.scale
        error = 100.0 - self.curve(params)[-1].metrics[METRIC]
        return min(max((error - best) / (median - best), 0.0), 1.0)

    def front_regret(self, found: Iterable[Mapping[str, Value]]) -> float:
        """Returns how much of the best front's area configurations lack, fully trained: 0 to 1.

        The front is of the error and the logarithm of the parameters. The area is what it dominates, up to
        the median error and the most parameters; the best front is that of 20,000 random configurations.
        """
        places = [(100.0 - (last := self.curve(each)[-1].metrics)[METRIC], last[COST]) for each in found]
        return max(0.0, 1.0 - self._area(np.array(places).reshape(-1, 2)) / self._best_area)

    @cached_property
    def _best_area(self) -> float:
        return self._area(np.column_stack(self._random))

    def _area(self, places: NDArray[Any]) -> float:
        """Returns the share of the rectangle that errors and parameters, `(n, 2)`, dominate."""
        (best, median), counts = self.scale, self._random[1]
        least, most = np.log(counts.min()), np.log(counts.max())
        errors = (places[:, 0] - best) / (median - best)
        sizes = (np.log(places[:, 1]) - least) / (most - least)
        area, reached = 0.0, 1.0
        for row in np.lexsort((sizes, errors)):
            if errors[row] < 1.0 and sizes[row] < reached:
                area += (1.0 - max(float(errors[row]), 0.0)) * (reached - max(float(sizes[row]), 0.0))
                reached = max(float(sizes[row]), 0.0)
        return area


def parameters(params: Mapping[str, Value]) -> float:
    """Counts the weights of the network as if it had 50 inputs and 10 outputs: layers narrow evenly."""
    layers = int(params["num_layers"])
    widths = np.linspace(float(params["max_units"]), 10.0, layers + 1)
    widths = np.concatenate([[50.0], np.round(widths)])
    return float(((widths[:-1] + 1) * widths[1:]).sum())
