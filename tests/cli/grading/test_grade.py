from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundoscope.cli import main
from fundoscope.cli.console import printable
from fundoscope.cli.grading.grade import Language
from fundoscope.files import locked_folder
from fundoscope.grades import DECISIONS, NOT_A_DEVICE
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.runtime.language.texts import LANGUAGES

_TINY = runpy.run_path(str(Path(__file__).parents[2] / "tiny_release.py"))
tiny_release = _TINY["tiny_release"]
pair_release = _TINY["pair_release"]


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three painted retinas."""
    folder = tmp_path_factory.mktemp("painted")
    rng = np.random.default_rng(2)
    for number in range(3):
        photo = paint_retina(RetinaSpec(side_px=300, grade=number), rng=rng).photo
        Image.fromarray(photo).save(folder / f"{number}.jpg", quality=92)
    return folder


@pytest.fixture
def run(tiny_release, monkeypatch, capsys):
    """Run the command line with the tiny release; returns exit status, standard output, standard error."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fundoscope", "grade", "--release", str(tiny_release), *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, " ".join(told.err.split())

    return call


def test_a_folder_is_graded_and_answered_in_a_table(run, painted):
    status, out, _ = run(painted)

    assert status == 0
    assert "P(referable)" in out
    assert "3 photographs:" in out
    assert NOT_A_DEVICE in " ".join(out.split())


def test_the_table_and_the_report_are_written_where_they_were_wanted(run, painted, tmp_path):
    status, _, err = run(painted, "--out", tmp_path / "results.csv", "--report", tmp_path / "report", "--features")

    assert status == 0
    assert len(pd.read_csv(tmp_path / "results.csv")) == 3
    assert (tmp_path / "results.features.npz").is_file()
    assert "<svg" in (tmp_path / "report" / "index.html").read_text()
    assert f"Written: {tmp_path / 'results.csv'}" in err


def test_patients_are_answered_when_a_manifest_knows_them(run, painted, tmp_path):
    folder = shutil.copytree(painted, tmp_path / "known")
    rows = "\n".join(f"{n}.jpg,Ada,{eye}" for n, eye in enumerate(("left", "right", "right")))
    (folder / "manifest.csv").write_text(f"image,patient,eye\n{rows}\n")

    status, out, err = run(folder, "--json")

    told = json.loads(out)
    assert status == 0
    assert [each["patient"] for each in told["patients"]] == ["Ada"]
    assert [each["eye"] for each in told["patients"][0]["eyes"]] == ["left", "right"]
    assert told["photographs"][0]["image"] == "0.jpg"
    assert told["notice"] == NOT_A_DEVICE
    assert "manifest.csv: patients and eyes are taken from it" in err


def test_ungradable_is_an_answer_and_not_a_failure(run, painted, tmp_path):
    Image.fromarray(np.zeros((300, 300, 3), np.uint8)).save(tmp_path / "black.png")

    status, out, _ = run(painted, tmp_path / "black.png")

    assert status == 0
    assert "cannot grade" in out


@pytest.mark.parametrize("content", [b"", b"a letter", None])
def test_a_file_that_cannot_be_read_costs_exit_status_1_and_not_the_others(run, painted, tmp_path, content):
    if content is not None:
        (tmp_path / "bad.jpg").write_bytes(content)

    status, out, _ = run(painted, tmp_path / "bad.jpg", "--json")

    rows = json.loads(out)["photographs"]
    assert status == 1
    assert [row["status"] for row in rows] == ["graded"] * 3 + ["unreadable"]
    assert "bad.jpg" in rows[-1]["reason"]


def test_a_folder_without_pictures_ends_with_status_2_and_one_line(run, tmp_path):
    status, out, err = run(tmp_path)

    assert (status, out) == (2, "")
    assert err.startswith("fundoscope: ")
    assert err.endswith("found none. Check the folder, or name the files.")


def test_an_empty_folder_beside_good_photographs_costs_status_1(run, painted, tmp_path):
    status, out, err = run(tmp_path, painted)

    assert status == 1
    assert "3 photographs:" in out
    assert "found none" in err


def test_a_path_given_twice_is_graded_once(run, painted):
    status, out, err = run(painted / "0.jpg", painted / "0.jpg")

    assert status == 0
    assert "1 photograph:" in out
    assert "1 photograph was named more than once: graded once." in err


def test_a_bad_table_ends_with_status_2(run, tmp_path):
    (tmp_path / "m.csv").write_text("file\na.jpg\n")

    status, _, err = run("--manifest", tmp_path / "m.csv")

    assert status == 2
    assert "image" in err


def test_a_damaged_release_ends_with_status_2(run, painted, tiny_release, tmp_path):
    folder = shutil.copytree(tiny_release, tmp_path / "damaged")
    (folder / "MODEL_CARD.md").write_text("changed")

    status, _, err = run(painted, "--release", folder)

    assert status == 2
    assert "MODEL_CARD.md has changed" in err


def test_features_without_a_table_are_refused(run, painted):
    status, _, err = run(painted, "--features")

    assert status == 2
    assert "--features: expected --out beside it" in err


def test_of_many_photographs_the_worst_are_listed_and_all_counted(run, painted, tmp_path):
    for number in range(31):
        (tmp_path / f"{number}.jpg").write_bytes((painted / "0.jpg").read_bytes())
    (tmp_path / "last.jpg").write_bytes(b"no picture")

    status, out, _ = run(tmp_path)

    assert status == 1
    assert "32 photographs:" in out
    assert "and 2 more photographs; a table with all of them: --out TABLE" in out
    assert sum(".jpg  " in line for line in out.splitlines()) == 30
    assert "last.jpg: expected " in " ".join(out.split())


def test_an_interruption_says_how_to_go_on_and_keeps_what_is_done(run, painted, tmp_path, monkeypatch):
    from fundoscope.runtime.part_file import PartFile

    append = PartFile.append

    def interrupted(part, entry):
        append(part, entry)
        raise KeyboardInterrupt

    monkeypatch.setattr(PartFile, "append", interrupted)
    out = tmp_path / "results.csv"
    status, _, err = run(painted, "--out", out)
    monkeypatch.undo()

    assert status == 130
    assert "give the same command again to continue" in " ".join(err.split())
    assert (tmp_path / "results.csv.part.jsonl").read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("name", ["[red]eye[/red].jpg", "\x1b[31meye.jpg"])
def test_a_name_from_outside_does_not_command_the_terminal(name):
    shown = printable(name)

    assert shown.spans == []
    assert "\x1b" not in shown.plain
    assert "eye" in shown.plain


def test_with_a_release_of_both_eyes_the_terminal_says_how_many_are_graded_without_the_other(
    run, painted, pair_release, tmp_path
):
    for number in range(3):
        shutil.copy(painted / f"{number}.jpg", tmp_path)
    (tmp_path / "manifest.csv").write_text("image,patient,eye\n0.jpg,A,left\n1.jpg,A,right\n2.jpg,B,left\n")

    status, out, told = run(tmp_path, "--release", pair_release)

    assert status == 0
    assert "1 of 3 photographs have none in a manifest (by patient and eye) and are graded without." in told
    assert out.count("Graded without the other eye") == 1


@pytest.mark.parametrize("option", ["--out", "--report"])
def test_what_exists_is_written_over_only_with_replace(run, painted, tmp_path, option):
    place = tmp_path / ("results.csv" if option == "--out" else "report")
    other = place if option == "--out" else place / "index.html"
    other.parent.mkdir(exist_ok=True)
    other.write_text("another run's")

    status, out, err = run(painted, option, place)
    assert (status, out, other.read_text()) == (2, "", "another run's")
    assert f"Choose another {option}, or give --replace to write over it." in err
    status, _, _ = run(painted, option, place, "--replace")

    assert status == 0
    assert other.read_text() != "another run's"


def test_the_manifest_of_a_run_is_not_written_over_even_with_replace(run, painted, tmp_path):
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"image\n{painted / '0.jpg'}\n")
    for words in (("--manifest", manifest), (shutil.copytree(painted, tmp_path / "folder"),)):
        table = manifest if words[0] == "--manifest" else tmp_path / "folder" / "manifest.csv"
        table.write_text(f"image\n{painted / '0.jpg'}\n")

        status, _, err = run(*words, "--out", table, "--replace")

        assert status == 2
        assert "got one that this run reads. It is never written over" in err
        assert table.read_text().startswith("image\n")


@pytest.mark.parametrize("with_table", [False, True])
def test_two_runs_do_not_write_one_report(run, painted, tmp_path, with_table):
    table = ("--out", str(tmp_path / "grades.csv")) if with_table else ()
    (tmp_path / "report").mkdir()
    with locked_folder(tmp_path / "report") as is_ours:
        assert is_ours
        status, _, err = run(str(painted), "--report", str(tmp_path / "report"), *table)

    assert status == 2
    assert "report: expected no other run to write there, got one that does. Wait for its end" in err
    assert list((tmp_path / "report").iterdir()) == []
    status, *_ = run(str(painted), "--report", str(tmp_path / "report"), *table)
    assert (status, (tmp_path / "report" / "index.html").is_file()) == (0, True)


def test_a_report_where_a_file_lies_is_refused_before_anything_is_graded(run, painted, tmp_path):
    (tmp_path / "report").write_text("a letter")

    status, out, err = run(painted, "--report", tmp_path / "report", "--out", tmp_path / "results.csv")

    assert (status, out) == (2, "")
    assert "report: expected a folder, got a file. Choose another --report." in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report"]


def test_one_eye_only_stands_in_table_terminal_and_json(run, painted, tmp_path):
    folder = shutil.copytree(painted, tmp_path / "known")
    (folder / "manifest.csv").write_text("image,patient,eye\n0.jpg,Ada,left\n1.jpg,Bo,left\n2.jpg,Bo,right\n")
    words = "One eye only: no photograph of the right eye."

    _, out, _ = run(folder, "--out", tmp_path / "results.csv")
    shown = " ".join(out.split())  # wherever a terminal of this width breaks its lines
    assert words in shown
    assert "1 of them with one eye only, or an eye that is not known" in shown
    assert list(pd.read_csv(tmp_path / "results.csv", keep_default_na=False)["patient_note"]) == [words, "", ""]
    _, out, _ = run(folder, "--json")

    assert [answer["notes"] for answer in json.loads(out)["patients"]] == [[words], []]


def test_a_table_of_patients_is_written_only_where_it_was_asked_for(run, painted, tmp_path):
    folder = shutil.copytree(painted, tmp_path / "known")
    (folder / "manifest.csv").write_text("image,patient,eye\n0.jpg,Ada,left\n1.jpg,Bo,left\n2.jpg,Bo,right\n")
    patients = tmp_path / "patients.csv"

    run(folder, "--out", tmp_path / "results.csv")
    assert not patients.exists()
    status, _, err = run(folder, "--patients", patients)

    assert status == 0
    assert f"Written: {patients}" in err
    frame = pd.read_csv(patients)
    assert sorted(frame["patient"]) == ["Ada", "Bo"]
    assert set(frame["next_step"]) <= {"refer", "photograph", "rescreen"}
    patients.write_text("my own")
    status, out, err = run(folder, "--patients", patients)
    assert (status, out, patients.read_text()) == (2, "", "my own")
    assert "Choose another --patients, or give --replace to write over it." in " ".join(err.split())
    status, out, err = run(folder, "--patients", tmp_path / "patients.xls")
    assert (status, out) == (2, "")
    assert "patients.xls: expected a name ending in .csv" in " ".join(err.split())


def test_the_next_step_of_a_patient_stands_in_json(run, painted, tmp_path):
    folder = shutil.copytree(painted, tmp_path / "known")
    (folder / "manifest.csv").write_text("image,patient,eye\n0.jpg,Ada,left\n")

    _, out, _ = run(folder, "--json")

    (patient,) = json.loads(out)["patients"]
    assert patient["missing_eyes"] == ["right"]
    assert set(patient["next_step"]) == {"action", "interval", "within_months", "photograph_now"}
    assert "right" in patient["next_step"]["photograph_now"]
    assert patient["next_step"]["action"] != "rescreen"


def test_the_report_is_written_in_the_language_that_was_asked_for(run, painted, tmp_path):
    status, out, _ = run(painted, "--report", tmp_path / "report", "--lang", "es", "--out", tmp_path / "results.csv")

    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert status == 0
    assert '<html lang="es">' in page
    assert "Informe de retinopatía diabética" in page
    assert set(pd.read_csv(tmp_path / "results.csv")["decision"]) <= set(DECISIONS)
    assert "photographs:" in out


def test_a_language_without_a_report_is_refused(run, painted):
    status, out, err = run(painted, "--lang", "es")

    assert (status, out) == (2, "")
    assert "--lang es: expected --report beside it, got none." in err


def test_the_command_offers_every_language_of_the_catalogue():
    assert {language.value for language in Language} == set(LANGUAGES)


def test_many_patients_are_counted_and_the_worst_of_them_named(run, painted, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    rows = ["image,patient,eye"]
    for number in range(33):
        for eye in ("left", "right"):
            shutil.copy(painted / "0.jpg", folder / f"{number:02}_{eye}.jpg")
            rows.append(f"{number:02}_{eye}.jpg,Ada-{number:02},{eye}")
    Image.fromarray(np.zeros((300, 300, 3), np.uint8)).save(folder / "32_left.jpg")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")

    status, out, _ = run(folder)

    lines = out.splitlines()
    patients = lines[next(at for at, line in enumerate(lines) if line.startswith("patient ")) + 1 :]
    assert status == 0
    assert sum(line.startswith("Ada-") for line in patients) == 30
    assert any(line.startswith("and 3 more patients: 3 ") for line in patients)
    assert any("33 patients: " in line for line in patients)
    assert "and 36 more photographs; a table with all of them: --out TABLE" in lines
    worst = json.loads(run(folder, "--json")[1])["patients"][-1]["decision"]
    others = json.loads(run(folder, "--json")[1])["patients"][0]["decision"]
    assert (worst, others) in {("cannot grade", "rescreen"), ("refer", "refer"), ("cannot grade", "refer")}
    if others == "rescreen":
        assert patients[0].startswith("Ada-32")
