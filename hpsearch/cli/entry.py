"""From the shell to a command and back: arguments in, exit code out.

0    done
1    the search, an export or hpsearch itself failed
2    what the user wrote is wrong
130  interrupted by Ctrl-C
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from hpsearch.cli.app import app
from hpsearch.errors import HpsearchError, did_you_mean, fault

INTERRUPTED = 130

_WRONG_USE = typer.BadParameter.__base__ or typer.BadParameter
"""Whatever typer raises for wrong arguments; the class has no public name."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and ends the process with its exit code.

    Args:
        arguments: Those of the command line. Default: of this process.
    """
    sys.exit(call(sys.argv[1:] if arguments is None else arguments))


def call(arguments: Sequence[str]) -> int:
    """Runs a command; returns its exit code. Errors on purpose are one message on stderr."""
    try:
        code = app(list(arguments), prog_name="hpsearch", standalone_mode=False)
        sys.stdout.flush()
    except HpsearchError as error:
        return _fail(str(error), error.exit_code)
    except _WRONG_USE as error:  # type: ignore[misc]
        return _fail(_in_our_words(error, arguments), 2)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:  # `hpsearch trials | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if code == INTERRUPTED:  # typer turns Ctrl-C into this code, and `run` returns it
        return _fail("Interrupted.", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    """Writes a message where errors belong, as it is: no wrapping, no markup, so that it can be searched."""
    print(message, file=sys.stderr, flush=True)
    return code


def _in_our_words(error: Exception, arguments: Sequence[str]) -> str:
    """Turns typer's complaint into where, what, received, and what to do."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "hpsearch"
    help_advice = f"See `{where} --help`."
    option = getattr(error, "option_name", None)
    if option is not None and type(error).__name__ == "NoSuchOption":
        advice = did_you_mean(option, getattr(error, "possibilities", None) or ())
        return fault(where, "no such option", received=option, advice=advice or help_advice)
    parameter = getattr(error, "param", None)
    names = [*getattr(parameter, "opts", ())]
    received = _given(names, arguments)
    if isinstance(error, typer.BadParameter) and received is not None:
        problem = error.message[0].lower() + error.message[1:]
        return fault(f"{where}: {names[0]}", problem, received=received, advice=help_advice)
    text = str(getattr(error, "format_message", error.__str__)()).strip()
    problem, question, advice = text.partition(" Did you mean")
    problem = problem[0].lower() + problem[1:].rstrip(".")
    return fault(where, problem, advice=f"{question.strip()}{advice}" if question else help_advice)


def _given(names: Sequence[str], arguments: Sequence[str]) -> str | None:
    """Finds what the command line gives an option."""
    for position, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in names and name.startswith("-"):
            return value if equals else (arguments[position + 1 : position + 2] or [""])[0]
    return None
