from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import typer

import fundoscope
from fundoscope.cli.console import interruptible, needs_extra, print_json, printable, say_written
from fundoscope.errors import MissingExtra


def test_a_package_that_is_not_installed_is_named_by_its_extra():
    with (
        pytest.raises(MissingExtra, match=r"^--checkpoint needs packages that are not installed\. Run: pip install "
        r"'fundoscope\[train\]'$"),
        needs_extra("--checkpoint"),
    ):  # fmt: skip
        import_module("no_such_package")


def test_a_module_of_our_own_that_is_not_there_is_a_mistake_in_the_code_and_stays_one():
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'fundoscope\.nothing'"), needs_extra("train"):
        import_module("fundoscope.nothing")


def test_an_interruption_ends_with_130_and_says_how_to_continue(capsys):
    with pytest.raises(typer.Exit) as ended, interruptible("Give [the] same command again."):
        raise KeyboardInterrupt

    assert ended.value.exit_code == 130
    assert capsys.readouterr() == ("", "Interrupted. Give [the] same command again.\n")


def test_other_ends_of_an_interruptible_block_are_left_alone():
    with pytest.raises(ZeroDivisionError, match="division"), interruptible("Give the same command again."):
        _ = 1 // 0


def test_names_of_written_files_go_to_standard_error_whole_and_one_a_line(capsys):
    long = Path("/" + "folder/" * 30) / "[red]table.csv"

    say_written(long, Path("release"), note="fundus@12ab")

    assert capsys.readouterr() == ("", f"Written: {long} (fundus@12ab)\nWritten: release (fundus@12ab)\n")


def test_json_is_all_of_standard_output_and_has_null_for_numbers_that_are_not_finite(capsys):
    print_json({"rows": [{"quality": float("nan")}, (np.float64("inf"), 0.5, True, None)], "name": "照片"})

    out, err = capsys.readouterr()
    assert json.loads(out) == {"rows": [{"quality": None}, [None, 0.5, True, None]], "name": "照片"}
    assert (err, out.isascii(), out.endswith("}\n")) == ("", True, True)


def test_a_text_from_outside_brings_neither_markup_nor_control_characters():
    assert printable("[red]a\x1b[31m\nb").plain == "[red]a\\x1b[31m\\nb"


def test_ctrl_c_while_grading_says_how_to_continue(tiny_release, retinas, tmp_path):
    folder, table = tmp_path / "photographs", tmp_path / "table.csv"
    folder.mkdir()
    for number in range(400):
        (folder / f"{number}.jpg").symlink_to(retinas[0])
    variables = os.environ | {"PYTHONPATH": str(Path(fundoscope.__file__).parents[1]), "COLUMNS": "80"}
    command = [sys.executable, "-m", "fundoscope", "grade", folder, "--release", tiny_release, "--out", table]
    pipe = subprocess.PIPE

    with subprocess.Popen([*command, "--threads", "1"], env=variables, stdout=pipe, stderr=pipe, text=True) as process:
        while process.poll() is None and not (tmp_path / "table.csv.part.jsonl").exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)

    assert (process.returncode, out) == (130, "")
    assert " ".join(err.split()).endswith(
        f"Interrupted. What is done is kept beside {table}: give the same command again to continue."
    )
