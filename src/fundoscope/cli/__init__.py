"""The command line: a list of plain functions, whose heavy imports wait inside them."""

from __future__ import annotations

import errno
import os
import sys
import traceback

import typer

from fundoscope.cli.evaluation import certify, compare, evaluate, stress
from fundoscope.cli.grading import explain, grade, verify
from fundoscope.cli.help import Verb
from fundoscope.cli.service import accounts, log, releases, review, serve, shadow
from fundoscope.cli.sites import calibrate, commission, monitor
from fundoscope.cli.training import audit, columns, data, experiments, prototypes, train
from fundoscope.errors import FundoscopeError, UnreadablePhotograph
from fundoscope.offline import disable_lookups

INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell has it."""

FAULT = 70
"""Exit status after a fault in the program (EX_SOFTWARE of sysexits.h): no verb answers with it."""

PIPE_CLOSED = 141
"""Exit status where the reader of a pipe has gone, as a shell has it."""

TRACEBACK = "FUNDOSCOPE_TRACEBACK"
"""Environment variable that asks for the whole traceback of a fault."""

ROOM = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG, errno.EROFS, errno.EIO)
"""Errors of a disk, which name no file."""

app = typer.Typer(
    name="fundoscope",
    help="Grade diabetic retinopathy in retinal photographs. Research software, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("grade", cls=Verb, rich_help_panel="Grade and look")(grade.grade)
app.command("explain", cls=Verb, rich_help_panel="Grade and look")(explain.explain)
app.command("verify", cls=Verb, rich_help_panel="Grade and look")(verify.verify)
app.command("info", cls=Verb, rich_help_panel="Grade and look")(verify.info)
app.command("serve", cls=Verb, rich_help_panel="Grade and look")(serve.serve)
app.command("calibrate", cls=Verb, rich_help_panel="For a site")(calibrate.calibrate)
app.command("commission", cls=Verb, rich_help_panel="For a site")(commission.commission)
app.command("monitor", cls=Verb, rich_help_panel="For a site")(monitor.monitor)
service = typer.Typer(help="Accounts, log and reviews of the service.", no_args_is_help=True, add_completion=False)
service.add_typer(accounts.users, name="user")
service.add_typer(accounts.tokens, name="token")
service.command("check-log", cls=Verb)(log.check_log)
service.command("shadow", cls=Verb)(shadow.shadow)
service.command("look-back", cls=Verb)(releases.look_back)
service.command("activate", cls=Verb)(releases.activate)
service.add_typer(review.reviews, name="review")
app.add_typer(service, name="service", rich_help_panel="For a site")
app.command("evaluate", cls=Verb, rich_help_panel="Evaluate")(evaluate.evaluate)
app.command("compare", cls=Verb, rich_help_panel="Evaluate")(compare.compare)
app.command("stress", cls=Verb, rich_help_panel="Evaluate")(stress.stress)
app.command("certify", cls=Verb, rich_help_panel="Evaluate")(certify.certify)
app.command("train", cls=Verb, rich_help_panel="Train and release")(train.train)
app.command("export", cls=Verb, rich_help_panel="Train and release")(train.export)
app.command("experiments", cls=Verb, rich_help_panel="Train and release")(experiments.experiments)
app.command("prototypes", cls=Verb, rich_help_panel="Train and release")(prototypes.prototypes)
app.command("audit", cls=Verb, rich_help_panel="Train and release")(audit.audit)
data.app.command("columns", cls=Verb)(columns.columns)
app.add_typer(data.app, name="data", rich_help_panel="Train and release")


@app.callback(invoke_without_command=True)
def program(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    """Grade diabetic retinopathy in retinal photographs. Research software, not a medical device."""
    if version:
        from fundoscope.version import __version__

        print(f"fundoscope {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; what a person can mend is one line on standard error, never a traceback.

    Exit status: that of the verb; 2 where a request cannot be met, 70 after a fault in the program, 130 after Ctrl-C,
    141 where the reader of a pipe has gone.
    """
    from fundoscope.cli.console import allow_any_text, show_notes

    allow_any_text()
    show_notes("fundoscope.tables")  # tables.notes.LOGGER, whose package needs pandas
    disable_lookups()
    status = _run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        status = PIPE_CLOSED
    if status == PIPE_CLOSED:
        # `fundoscope ... | head`: nothing more to say to it, and nothing left in a buffer for the end to stumble over.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def _run() -> int:
    """Run the verb; return the exit status."""
    try:
        app()
    except SystemExit as ended:
        if ended.__context__ is not None and isinstance(ended.__context__.__cause__, KeyboardInterrupt):
            _say("Interrupted.")  # typer ends without a word
        # typer and rich end with 1 where a pipe is closed, which is some verbs' answer.
        return PIPE_CLOSED if isinstance(ended.__context__, BrokenPipeError) else int(ended.code or 0)
    except FundoscopeError as error:
        _say(str(error))
        return 1 if isinstance(error, UnreadablePhotograph) else 2
    except KeyboardInterrupt:
        _say("Interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        return PIPE_CLOSED
    except OSError as problem:
        return _of_system(problem)
    except Exception as fault:
        return _of_program(fault)
    return 0


def _of_system(problem: OSError) -> int:
    """Say what the system refused: a file that nobody may read, a name that is too long, a disk that is full."""
    if problem.filename is None and problem.errno not in ROOM:
        return _of_program(problem)
    place = "the disk" if problem.filename is None else os.fsdecode(problem.filename)
    _say(
        f"{place}: expected to read or write it, got: {problem.strerror}. Check the path, its permissions and the disk."
    )
    return 2


def _of_program(fault: Exception) -> int:
    """Say that the program is at fault, and where; its exit status is no verb's answer."""
    if os.environ.get(TRACEBACK):
        traceback.print_exception(fault)
    where = traceback.extract_tb(fault.__traceback__)[-1]
    what = (str(fault).splitlines() or [""])[0][:200]
    place = f"{os.path.basename(where.filename)}, line {where.lineno}"
    _say(
        f"expected an answer, got a fault in the program ({type(fault).__name__}: {what}; {place}). Please report it; "
        f"{TRACEBACK}=1 shows all of it."
    )
    return FAULT


def _say(text: str) -> None:
    from fundoscope.cli.console import print_text, troubles

    print_text(f"fundoscope: {text}", style="red", to=troubles)
