"""Output on a console of 80 columns: no line is longer, no word is cut."""

from __future__ import annotations

import io
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fundoscope.cli import main
from fundoscope.cli.console import print_text
from fundoscope.cli.layout import fitted, shortened


def printed(table: Table, *, width: int, names: tuple[int, ...] = (), unbroken: tuple[int, ...] = ()) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=width).print(fitted(table, names=names, unbroken=unbroken, width=width))
    return [line.rstrip() for line in text.getvalue().splitlines()]


def test_a_name_keeps_its_end_and_fits():
    assert shortened("a.jpg", 5) == "a.jpg"
    assert shortened("clinic/2024/idrid_test_022.jpg", 20) == "clini…id_test_022.jpg"[:6] + "id_test_022.jpg"[-14:]
    assert shortened("照片" * 20 + "_022.jpg", 20).endswith("_022.jpg")
    assert all(cell_len(shortened("照片" * 20 + "_022.jpg", width)) <= width for width in range(6, 50))


def test_a_table_that_fits_keeps_its_natural_widths():
    table = Table("name", "answer", box=None, pad_edge=False)
    table.add_row("a.jpg", Text("refer", style="red"))

    assert printed(table, width=80) == ["name   answer", "a.jpg  refer"]


def test_cells_are_broken_between_words_and_names_shortened_in_the_middle():
    table = Table("name", "answer", "note", box=None, pad_edge=False)
    table.add_row("folder/of/a/clinic/idrid_test_022.jpg", "cannot grade, refer", "no photograph of the other eye")

    lines = printed(table, width=44, names=(0,))

    assert max(map(len, lines)) <= 44
    assert "022.jpg" in lines[1]
    assert "…" in lines[1]
    assert {"cannot", "grade,", "refer", "photograph", "other"} <= {word for line in lines for word in line.split()}


def test_a_word_longer_than_the_console_is_folded_rather_than_lost():
    table = Table("word", box=None, pad_edge=False)
    table.add_row("x" * 100)

    lines = printed(table, width=80)

    assert (max(map(len, lines)), "".join(lines[1:])) == (80, "x" * 100)


def test_a_column_of_keys_is_never_broken_however_long_the_words_beside_it_are():
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("commissioning: sensitivity lower bound", "0.861")
    table.add_row("commissioning: protocol", "a" * 64)

    lines = printed(table, width=80, unbroken=(0,))

    assert lines[0] == "commissioning: sensitivity lower bound  0.861"
    assert "".join(line[40:] for line in lines[1:]) == "a" * 64
    assert max(map(len, lines)) <= 80


def test_cells_are_never_read_as_markup():
    table = Table("patient", box=None, pad_edge=False)
    table.add_row("[red]Ada[/red]")

    assert printed(table, width=80)[1] == "[red]Ada[/red]"


def test_a_log_without_a_width_has_whole_sentences(capsys, monkeypatch):
    sentence = "one word after another " * 20
    monkeypatch.delenv("COLUMNS", raising=False)
    print_text(sentence)
    monkeypatch.setenv("COLUMNS", "80")
    print_text(sentence, indent="  ")

    whole, *broken = capsys.readouterr().out.splitlines()
    assert whole == sentence
    assert len(broken) > 5
    assert all(line.startswith("  one") or line[2] != " " for line in broken)
    assert max(map(len, broken)) <= 80


@pytest.fixture(scope="module")
def clinic(tmp_path_factory, retinas) -> Path:
    """Photographs with long names, of patients with long names, and a table of grades with its answers."""
    folder = tmp_path_factory.mktemp("clinic") / "photographs"
    folder.mkdir()
    names = [f"examination_of_2026_11_27_idrid_test_{number:03}.jpg" for number in range(6)]
    for source, name in zip(retinas, names, strict=True):
        shutil.copy(source, folder / name)
    (folder / "broken.jpg").write_bytes(b"no picture")
    patients = [f"Wilhelmine-Charlotte-{number // 2}" for number in range(6)]
    rows = pd.DataFrame({"image": names, "patient": patients, "eye": ["left", "right"] * 3})
    rows = rows.assign(grade=[0, 1, 2, 3, 4, 2], camera=["Kowa VX-10 alpha", "Topcon TRC-NW400"] * 3, split="test")
    rows.to_csv(folder / "manifest.csv", index=False)
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.ones(5), size=6).round(6)
    shares[:, 4] = 1 - shares[:, :4].sum(axis=1)
    for name in ("our_predictions", "their_predictions"):
        table = rows[["image"]].assign(**{f"p{grade}": np.roll(shares[:, grade], len(name)) for grade in range(5)})
        table.to_csv(folder.parent / f"{name}.csv", index=False)
    return folder


@pytest.fixture
def shown(monkeypatch, capsys):
    """Run a command on a console of some width; what it printed on either stream."""

    def run(width: int, *words: object) -> tuple[str, str]:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys, "argv", ["fundoscope", *map(str, words)])
        with pytest.raises(SystemExit):
            main()
        out, err = capsys.readouterr()
        return out, err

    return run


def verbs(clinic: Path, release: Path) -> dict[str, list[object]]:
    ours, theirs = (clinic.parent / f"{name}_predictions.csv" for name in ("our", "their"))
    labels = clinic / "manifest.csv"
    return {
        "grade": ["grade", clinic, "--release", release],
        "verify": ["verify", release],
        "info": ["info", release],
        "info of the default release": ["info"],
        "experiments": ["experiments"],
        "columns": ["data", "columns"],
        "columns of predictions": ["data", "columns", "--predictions"],
        "sources": ["data", "sources"],
        "evaluate": ["evaluate", ours, labels, "--resamples", 100, "--by", "camera"],
        "compare": ["compare", ours, theirs, labels, "--resamples", 100],
        "audit": ["audit", clinic / "manifest.csv", "--release", "none", "--no-cache"],
        "a refusal": ["evaluate", ours, clinic / "absent.csv"],
    }


@pytest.mark.parametrize("verb", verbs(Path(), Path()))
def test_no_line_is_over_80_columns_and_no_word_is_cut(shown, clinic, tiny_release, verb, monkeypatch):
    monkeypatch.chdir(clinic.parent)  # a path is never broken, and that of a test is longer than a line
    words = [word.relative_to(clinic.parent) if isinstance(word, Path) and word.is_relative_to(clinic.parent) else word
             for word in verbs(clinic, tiny_release)[verb]]  # fmt: skip

    narrow, wide = shown(80, *words), shown(1000, *words)

    assert "".join(wide).strip()
    assert "Usage" not in "".join(wide)
    for stream in narrow:
        long = [line for line in stream.splitlines() if len(line) > 80 and max(map(len, line.split())) < 70]
        assert not long
    missing = Counter(" ".join(wide).split()) - Counter(" ".join(narrow).split())
    assert all(word.endswith(".jpg") for word in missing), missing
