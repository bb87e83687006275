"""What strategies find for their epochs, on the learning curves of LCBench: regret with its standard error.

HPSEARCH_BENCH_DIR=~/bench scripts/bench_strategies [NAME...] [--seeds 8] [--slots 1] [--objectives 2]

A row is a strategy; a column a budget, in full trainings of 50 epochs each: every epoch of every trial
counts, those of stopped trials too. The regret of a search is that of the configuration with the best value
seen by then, were it trained to its end: 0 is the best of 20,000 random configurations, 1 their median. The
mean is over tasks and seeds; the standard error is that of the seeds, each averaged over the tasks.

With `--objectives 2` the number of parameters is to be small, too: the regret is the part of the best front's
area that the front of the configurations seen by then lacks, were they trained to their ends.

With `--min-improvement 0.1`, in %, each search ends when it expects less, or at the largest budget: a row
says how many did, after how many full trainings, with which regret.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache

import numpy as np
import optuna

from hpsearch.plan import End
from hpsearch.strategies.fronts import undominated
from hpsearch.testing import lcbench
from hpsearch.testing.simulated import SimulatedSearch

TRAININGS = (2, 5, 10, 20, 50)
STRATEGIES = {
    "auto": "auto",
    "random": "random",
    "tpe": "optuna",
    "hyperband": "hyperband",
    "bayesian": "bayesian",
    "asha_random": {"name": "asha", "sampler": "random"},
    "asha_tpe": {"name": "asha", "sampler": "tpe"},
    "asha": "asha",
    "asha_brackets": {"name": "asha", "options": {"brackets": 3}},
    "optuna_gp": {"name": "optuna", "sampler": "gp"},
    "keras_tuner": {"name": "bayesian", "options": {"surrogate": "keras_tuner"}},
}
"""Ours, Optuna's `GPSampler` and Keras Tuner's oracle among them, each through the search loop."""
PLAIN = {
    "plain_tpe": lambda: {},
    "plain_tpe_hyperband": lambda: {"pruner": optuna.pruners.HyperbandPruner(max_resource=lcbench.EPOCHS)},
}
"""Optuna alone, as its tutorial has it."""
WITH_TWO = ("random", "tpe", "asha_random", "asha_tpe")
DEFAULT = ("random", "plain_tpe", "plain_tpe_hyperband", "asha_random", "bayesian", "asha", "auto")


@cache
def surrogate():
    """Loads the surrogate once a process."""
    return lcbench.Surrogate(lcbench.folder())


@cache
def bench(task):
    """Keeps the curves that were looked up."""
    return lcbench.LCBench(surrogate(), task)


def simulated(name, task, trainings, **more):
    """Returns a search that has not begun, of a budget in full trainings."""
    curves = bench(task)
    return SimulatedSearch(
        curves,
        curves.space,
        STRATEGIES[name],
        metric=lcbench.METRIC,
        epochs=lcbench.EPOCHS,
        total_epochs=trainings * lcbench.EPOCHS,
        **more,
    )


def regrets(name, task, seed, slots, trainings, objectives):
    """Runs one search; returns its regret at each budget, and seconds."""
    began_s = time.perf_counter()
    curves = bench(task)
    if name in PLAIN:
        return plain(name, curves, seed, trainings), time.perf_counter() - began_s
    others = {lcbench.COST: "minimize"} if objectives == 2 else {}
    search = simulated(name, task, max(trainings), others=others, seed=seed, slots=slots)
    search.run()
    trials = search.study.get_trials(deepcopy=False)
    costs = [budget * lcbench.EPOCHS for budget in trainings]
    if objectives == 2:
        fronts = [[trials[number].params for number in front_at(search, trials, cost)] for cost in costs]
        found = [curves.front_regret(front) for front in fronts]
    else:
        found = [curves.regret(trials[search.best_at(cost).trial].params) for cost in costs]
    return found, time.perf_counter() - began_s


def front_at(search, trials, cost):
    """Returns the trials of the front of all that was seen in the first `cost` epochs."""
    best = {}
    for moment in search.moments:
        if moment.cost <= cost:
            best[moment.trial] = max(best.get(moment.trial, -np.inf), moment.value)
    places = np.array([[-value, lcbench.parameters(trials[number].params)] for number, value in best.items()])
    return np.array(list(best))[undominated(places)]


def ended(name, task, seed, slots, most, min_improvement):
    """Runs one search until it expects little; returns whether it did, its full trainings, and its regret."""
    search = simulated(name, task, most, min_improvement=min_improvement, seed=seed, slots=slots)
    expects_little = search.run() is End.IMPROVEMENT
    cost = search.moments[-1].cost
    best = search.study.get_trials(deepcopy=False)[search.best_at(cost).trial]
    return expects_little, cost / lcbench.EPOCHS, bench(task).regret(best.params)


def plain(name, curves, seed, trainings):
    """Runs Optuna's TPE without anything of ours; returns the regret at each budget."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler, **PLAIN[name]())
    seen, found = [], []
    while len(seen) < max(trainings) * lcbench.EPOCHS:
        trial = study.ask()
        params = {
            p.name: (trial.suggest_int if p.kind == "int" else trial.suggest_float)(
                p.name, p.low, p.high, log=p.sampling == "log"
            )
            for p in lcbench.PARAMETERS
        }
        values = []
        for epoch, point in enumerate(curves.curve(params), start=1):
            values.append(point.metrics[lcbench.METRIC])
            seen.append((values[-1], params))
            trial.report(values[-1], epoch)
            if epoch < lcbench.EPOCHS and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, max(values))
    for budget in trainings:
        _, params = max(seen[: budget * lcbench.EPOCHS], key=lambda each: each[0])
        found.append(curves.regret(params))
    return found


def show_ends(chosen):
    print(f"{'':24}{'ended':>8}{'full trainings':>26}{'regret':>24}", flush=True)
    with ProcessPoolExecutor(chosen.processes) as pool:
        for name in chosen.names:
            cases = [(name, t, s) for s in range(chosen.seeds) for t in lcbench.TASKS[: chosen.tasks]]
            limits = (chosen.slots, max(chosen.trainings), chosen.min_improvement)
            jobs = [pool.submit(ended, *case, *limits) for case in cases]
            did, cost, regret = np.array([job.result() for job in jobs]).T
            spread = f"{cost.mean():.1f} ({cost.min():.1f} to {cost.max():.1f})"
            found = f"{regret.mean():.3f}, worst {regret.max():.3f}"
            print(f"{name:24}{did.mean():>8.0%}{spread:>26}{found:>24}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--objectives", type=int, choices=(1, 2), default=1)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--tasks", type=int, default=len(lcbench.TASKS))
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--trainings", type=int, nargs="+", default=TRAININGS)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--min-improvement", type=float)
    chosen = parser.parse_args()
    if lcbench.folder() is None:
        sys.exit("There is no lcbench/model.onnx in the folder HPSEARCH_BENCH_DIR, or no onnxruntime.")
    if chosen.min_improvement is not None:
        show_ends(chosen)
        return
    head = "".join(f"{budget:>16}" for budget in chosen.trainings)
    print(f"{'full trainings':24}{head}{'s a search':>12}", flush=True)
    with ProcessPoolExecutor(chosen.processes) as pool:
        for name in chosen.names or (DEFAULT if chosen.objectives == 1 else WITH_TWO):
            cases = [(name, t, s) for s in range(chosen.seeds) for t in lcbench.TASKS[: chosen.tasks]]
            asked = (chosen.slots, tuple(chosen.trainings), chosen.objectives)
            jobs = [pool.submit(regrets, *case, *asked) for case in cases]
            rows, seconds = zip(*(job.result() for job in jobs), strict=True)
            by_seed = np.array(rows).reshape(chosen.seeds, chosen.tasks, -1).mean(axis=1)
            error = (
                by_seed.std(axis=0, ddof=1) / np.sqrt(chosen.seeds) if chosen.seeds > 1 else by_seed[0] * 0
            )
            cells = "".join(f"{m:>9.3f} ±{e:.3f}" for m, e in zip(by_seed.mean(axis=0), error, strict=True))
            print(f"{name:24}{cells}{np.mean(seconds):>12.1f}", flush=True)


if __name__ == "__main__":
    main()
