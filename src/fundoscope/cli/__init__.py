"""The command line: a list of plain functions, whose heavy imports wait inside them."""

from __future__ import annotations

import os
import sys

import typer

from fundoscope.cli import (
    audit,
    calibrate,
    certify,
    commission,
    compare,
    data,
    evaluate,
    explain,
    grade,
    monitor,
    prototypes,
    train,
    verify,
)
from fundoscope.errors import FundoscopeError, UnreadablePhotograph

app = typer.Typer(
    name="fundoscope",
    help="Grade diabetic retinopathy in retinal photographs. Research software, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("grade")(grade.grade)
app.command("verify")(verify.verify)
app.command("info")(verify.info)
app.command("train")(train.train)
app.command("export")(train.export)
app.command("experiments")(train.experiments)
app.command("prototypes")(prototypes.prototypes)
app.command("evaluate")(evaluate.evaluate)
app.command("certify")(certify.certify)
app.command("compare")(compare.compare)
app.command("calibrate")(calibrate.calibrate)
app.command("commission")(commission.commission)
app.command("monitor")(monitor.monitor)
app.command("audit")(audit.audit)
app.command("explain")(explain.explain)
app.add_typer(data.app, name="data")


@app.callback(invoke_without_command=True)
def program(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    """Grade diabetic retinopathy in retinal photographs. Research software, not a medical device."""
    if version:
        from fundoscope.version import __version__

        print(f"fundoscope {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; what a person can mend is one line on standard error, never a traceback."""
    try:
        app()
    except FundoscopeError as error:
        _say(str(error))
        sys.exit(1 if isinstance(error, UnreadablePhotograph) else 2)
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe has gone (`fundoscope ... | head`): nothing more to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _say(text: str) -> None:
    from fundoscope.cli.console import troubles

    troubles.print(f"fundoscope: {text}", style="red", markup=False, soft_wrap=True)
