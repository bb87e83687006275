"""The commands and their options. Each imports what it needs when it is called, so that help is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpsearch.cli import deploy
from hpsearch.cli.arguments import File, Json, Name, Set, Study, Trial, Workdir

app = typer.Typer(
    name="hpsearch",
    help="Hyperparameter search and experiment tracking for Keras: one file, one command.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"hpsearch {version('hpsearch')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Hyperparameter search and experiment tracking for Keras: one file, one command."""


@app.command()
def run(
    file: File,
    overrides: Set = None,
    workdir: Workdir = None,
    trials: Annotated[int | None, typer.Option(min=1, help="How many trials end the search.")] = None,
    json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress, only the result.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for a process that searches the same study now.")
    ] = False,
) -> int:
    """Search; Ctrl-C stops cleanly, and the same command continues."""
    from hpsearch.cli import run as command

    changes = command.gather(overrides, workdir, trials)
    return command.run(file, changes, as_json=json, quiet=quiet, wait=wait)


@app.command()
def check(
    file: File,
    overrides: Set = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Build the model once; sample, train and export nothing.")
    ] = False,
    json: Json = False,
) -> int:
    """Validate an experiment file; sample its space, time an epoch, try the export."""
    from hpsearch.cli import run as command

    return command.check(file, command.gather(overrides, None, None), quick=quick, as_json=json)


@app.command()
def lr_find(
    file: File,
    overrides: Set = None,
    low: Annotated[float, typer.Option(help="The first learning rate.")] = 1e-5,
    high: Annotated[float, typer.Option(help="The last learning rate.")] = 10.0,
    steps: Annotated[int, typer.Option(help="Batches to train on, each at a higher rate.")] = 200,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The .png file to draw the losses in.")
    ] = Path("lr_find.png"),
    json: Json = False,
) -> int:
    """Find the learning rates worth searching, by training briefly while the rate grows."""
    from hpsearch.cli import run as command

    wanted = command.Rates(low, high, steps, output)
    return command.lr_find(file, command.gather(overrides, None, None), wanted, as_json=json)


@app.command()
def status(study: Name = None, workdir: Workdir = None, json: Json = False) -> None:
    """Show how a study stands, while it runs or after."""
    from hpsearch.cli import studies

    studies.status(study, workdir, as_json=json)


@app.command()
def trials(
    study: Name = None,
    workdir: Workdir = None,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values only.")] = False,
    sort: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Order by a metric, a hyperparameter, `epochs`, ...; -NAME: down."),
    ] = None,
    conditions: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", metavar="CONDITION", help="Only these, e.g. 'val_accuracy>=0.9'. Can be repeated."
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Only these columns, e.g. val_loss,units.")
    ] = None,
) -> None:
    """List the trials of a study."""
    from hpsearch.cli import studies
    from hpsearch.cli.selection import Selection
    from hpsearch.conditions import Condition

    wanted = tuple(name.strip() for name in (columns or "").split(",") if name.strip())
    asked = tuple(Condition.parse(text, "--filter") for text in conditions or ())
    selection = Selection(asked, sort, wanted)
    studies.trials(study, workdir, selection, as_json=json, as_csv=csv)


@app.command()
def show(trial: Trial, study: Study = None, workdir: Workdir = None, json: Json = False) -> None:
    """Show all that is known of one trial."""
    from hpsearch.cli import trial as command

    command.show(trial, study, workdir, as_json=json)


@app.command()
def logs(
    trial: Trial,
    study: Study = None,
    workdir: Workdir = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the trial has ended.")] = False,
) -> None:
    """Print what a trial wrote to standard output and error."""
    from hpsearch.cli import trial as command

    command.logs(trial, study, workdir, follow=follow)


@app.command()
def diff(
    trial: Trial, other: Trial, study: Study = None, workdir: Workdir = None, json: Json = False
) -> None:
    """Show in what two trials differ."""
    from hpsearch.cli import trial as command

    command.diff(trial, other, study, workdir, as_json=json)


@app.command()
def reproduce(
    trial: Trial,
    study: Study = None,
    workdir: Workdir = None,
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="Largest difference that agrees, relative to the recorded number.")
    ] = 1e-6,
    json: Json = False,
) -> int:
    """Run a trial again from its record and check that the same numbers come out."""
    from hpsearch.cli import reproduce as command

    return command.reproduce(trial, study, workdir, tolerance=tolerance, as_json=json)


@app.command()
def compare(
    studies: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STUDY]...", help="Names or folders. Default: all.", show_default=False),
    ] = None,
    workdir: Workdir = None,
    json: Json = False,
) -> None:
    """Put several studies side by side."""
    from hpsearch.cli import compare as command

    command.compare(studies or [], workdir, as_json=json)


@app.command()
def gc(
    study: Name = None,
    keep: Annotated[
        str, typer.Option(metavar="WISH", help="`best 3`, or `none`: the best one's only.")
    ] = "none",
    workdir: Workdir = None,
) -> None:
    """Delete models of trials that need not stay."""
    from hpsearch.cli import remove

    remove.gc(study, workdir, keep=keep)


@app.command()
def rm(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A study's name or folder.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    workdir: Workdir = None,
) -> None:
    """Delete a study's folder."""
    from hpsearch.cli import remove

    remove.rm(study, workdir, yes=yes)


@app.command()
def best(
    study: Name = None,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="Show the Pareto front of several objectives as a table.")
    ] = False,
    conditions: Annotated[
        list[str] | None,
        typer.Option(
            "--at",
            metavar="CONDITION",
            help="The best by the first objective of those, e.g. 'tflite_size_kib<=100'. Can be repeated.",
        ),
    ] = None,
    workdir: Workdir = None,
    json: Json = False,
) -> None:
    """Show the best trial of a study, its test score and its files."""
    from hpsearch.cli import best as command

    command.best(study, workdir, pareto=pareto, conditions=tuple(conditions or ()), as_json=json)


app.command()(deploy.export)
app.command()(deploy.package)
app.command()(deploy.serve)


@app.command()
def sync(
    study: Name = None,
    uri: Annotated[str | None, typer.Option(help="Where to. Default: what the experiment says.")] = None,
    workdir: Workdir = None,
    json: Json = False,
) -> int:
    """Send to MLflow whatever is not there: after an outage, or a search that was killed."""
    from hpsearch.cli import studies

    return studies.sync(study, workdir, uri=uri, as_json=json)


@app.command()
def report(
    study: Name = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Where to. Default: report in the study's folder."
        ),
    ] = None,
    workdir: Workdir = None,
    json: Json = False,
) -> None:
    """Write a page about a study, with charts, and print what it found."""
    from hpsearch.cli import report as command

    command.report(study, workdir, output, as_json=json)


@app.command()
def ui(
    uri: Annotated[str | None, typer.Option(help="Of the records. Default: sqlite:///mlflow.db.")] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; the interface asks for no password.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: the first free one from 5000.")
    ] = None,
) -> None:
    """Open MLflow's user interface over the records; Ctrl-C ends it."""
    from hpsearch.tracking.ui import DEFAULT_URI, open_ui

    open_ui(uri or DEFAULT_URI, host=host, port=port, say=typer.echo)


@app.command()
def dashboard(
    study: Name = None,
    workdir: Workdir = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; the dashboard asks for no password.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: the first free one from 8080.")
    ] = None,
) -> None:
    """Open Optuna Dashboard over a study, while it runs or after; Ctrl-C ends it."""
    from hpsearch.cli import dashboard as command

    command.dashboard(study, workdir, host=host, port=port, say=typer.echo)


@app.command()
def models() -> None:
    """List the models that are built in."""
    from hpsearch.cli import listings

    listings.models()


@app.command()
def datasets() -> None:
    """List the data sets that are built in."""
    from hpsearch.cli import listings

    listings.datasets()


@app.command()
def schema() -> None:
    """Print the JSON schema of experiment files, for editors."""
    from hpsearch.cli import listings

    listings.schema()
