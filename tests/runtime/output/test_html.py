from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fundoscope.decide.conformal import Conformal, GradeSets
from fundoscope.grades import NOT_A_DEVICE
from fundoscope.runtime.certificate import Certificate, Outcome, Verdict
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.listing.inputs import Listed
from fundoscope.runtime.output import html as report_module
from fundoscope.runtime.output.html import css_string, figures, write_report


class Text(HTMLParser):
    """What a page shows and what tags it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def grader(tiny_release):
    return Grader.open(tiny_release, threads=2)


def certificate(tiny, result: str) -> dict[str, object]:
    """Of the tiny release's network, by one test."""
    numbers = {"value": 0.2, "low": 0.1 if result == "passed" else -0.1, "high": 0.3}
    tested = Outcome(name="chance", says="finds lesions", needed="lower bound above 0", result=result, **numbers)
    return Certificate(
        method="grad-cam",
        model_sha256=hashlib.sha256(tiny["tiny_model"]()).hexdigest(),
        made_at="2026-11-21",
        fundoscope="0",
        judged_by="the release's own network",
        photographs={"left_out": []},
        settings={},
        verdicts=(Verdict(method="grad-cam", tests=(tested,)),),
    ).to_dict()


@pytest.fixture(scope="module")
def certified(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("certified") / "release"
    return Grader.open(tiny["write_tiny_release"](folder, certificate=certificate(tiny, "passed")), threads=2)


def report_on(grader, photographs, folder) -> str:
    rows = [reading.row() for reading in grader.grade_listed(photographs)]
    return write_report(grader, photographs, rows, folder)[0].read_text(encoding="utf-8")


def test_the_report_names_patients_eyes_grades_and_the_release(certified, retinas, tmp_path):
    photographs = [
        Listed("one.jpg", retinas[0], {"patient": "P1", "eye": "left"}),
        Listed("two.jpg", retinas[1], {"patient": "P1", "eye": "right"}),
        Listed("three.jpg", retinas[2]),
    ]
    page = Text(report_on(certified, photographs, tmp_path))

    assert "Patient P1" in page.text
    assert "Left eye" in page.text
    assert "Patient not stated" in page.text
    assert certified.opened.digest in page.text
    assert "It was never trained." in page.text
    # At the head, at the end, and with each of the two patients.
    assert page.text.count(NOT_A_DEVICE) == 4
    assert sum(tag == "input" for tag, _ in page.tags) == 3


def test_a_heatmap_is_shown_only_if_it_is_certified_and_otherwise_the_page_says_why(
    tiny, grader, certified, retinas, tmp_path
):
    failing = tiny["write_tiny_release"](tmp_path / "failing", certificate=certificate(tiny, "failed"))
    photographs = [Listed("one.jpg", retinas[0])]

    shown = report_on(certified, photographs, tmp_path / "shown")
    never = report_on(grader, photographs, tmp_path / "never")
    failed = report_on(Grader.open(failing, threads=1), photographs, tmp_path / "failed")

    overlay = "Where the network looked"
    assert (overlay in shown, overlay in never, overlay in failed) == (True, False, False)
    assert (shown.count("data:image/webp"), never.count("data:image/webp")) == (1, 0)
    assert "It is certified: passed 1 of 1 tests." in Text(shown).text
    assert "No heatmap is shown" not in shown
    assert "No heatmap is shown: not certified: never tested against lesions" in Text(never).text
    assert "No heatmap is shown: not certified: tested and failed: finds lesions: 0.200" in Text(failed).text


@pytest.mark.parametrize("head", ["softmax", "prototype"])
def test_the_clinical_description_is_that_of_the_prototype_that_matched(tiny, retinas, tmp_path, head):
    """The best score's, which the mean of the scale need not agree with; of another head, the grade's."""
    words = ["clear", "dots", "blots", "beads", "new vessels"]
    release = tiny["write_tiny_release"](
        tmp_path / "release",
        model=tiny["tiny_model"](outputs=5),
        head=head,
        descriptions=words,
        calibration={"temperature": 2.0, "grade_cuts": [0.5, 1.5, 2.5, 3.5]},
    )
    grader = Grader.open(release, threads=1)
    reading = grader.grade(retinas[0])

    page = Text(report_on(grader, [Listed("one.jpg", retinas[0])], tmp_path / "report"))

    matched = int(np.argmax(reading.raw)) if head == "prototype" else reading.grade
    assert int(np.argmax(reading.raw)) != reading.grade
    assert f"Closest description: {words[matched]}." in page.text


def test_a_name_from_outside_is_shown_and_not_run(grader, retinas, tmp_path):
    evil = "<script>alert('eye')</script>"
    page = Text(report_on(grader, [Listed('"><b onload=x>.jpg', retinas[0], {"patient": evil})], tmp_path))

    assert evil in page.text
    assert not any(tag == "script" for tag, _ in page.tags)
    assert not any("onload" in attributes for _, attributes in page.tags)


def test_nothing_is_fetched_from_anywhere(grader, retinas, tmp_path):
    text = report_on(grader, [Listed("a.jpg", retinas[0])], tmp_path)

    assert not re.findall(r"(?:https?:)?//[a-z]", re.sub(r"data:image/\w+;base64,[\w+/=]+", "", text))
    assert all(
        value.startswith(("data:image/", "#"))
        for tag, attributes in Text(text).tags
        for name, value in attributes.items()
        if name in ("src", "href") and tag != "a"
    )


def test_a_photograph_that_could_not_be_read_is_in_the_report_with_its_reason(grader, retinas, tmp_path):
    page = Text(report_on(grader, [Listed("a", retinas[0]), Listed("gone", tmp_path / "gone.jpg")], tmp_path))

    assert "No picture:" in page.text
    assert "gone.jpg" in page.text
    assert "not graded" in page.text


def test_a_file_that_changed_after_grading_is_not_shown_with_the_old_grade(grader, retinas, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(retinas[0].read_bytes())
    rows = [grader.grade(path).row()]
    path.write_bytes(retinas[1].read_bytes())

    (page,) = write_report(grader, [Listed("a", path)], rows, tmp_path)

    assert "the file has changed since it was read" in page.read_text()
    assert "data:image/jpeg" not in page.read_text()


def test_many_photographs_are_spread_over_pages_without_tearing_a_patient_apart(grader, retinas, tmp_path, monkeypatch):
    monkeypatch.setattr(report_module, "PHOTOGRAPHS_PER_PAGE", 2)
    patients = ["A", "B", "B", "C"]
    photographs = [Listed(str(i), retinas[i], {"patient": name}) for i, name in enumerate(patients)]
    rows = [reading.row() for reading in grader.grade_listed(photographs)]

    pages = write_report(grader, photographs, rows, tmp_path)

    assert [path.name for path in pages] == ["index.html", "page-2.html"]
    shown = [re.findall(r"<h2>Patient (\w)", path.read_text()) for path in pages]
    assert shown == [["A", "B"], ["C"]]
    assert 'href="page-2.html"' in pages[0].read_text()


def test_pages_of_an_earlier_longer_report_are_removed_and_others_are_not(grader, retinas, tmp_path, monkeypatch):
    monkeypatch.setattr(report_module, "PHOTOGRAPHS_PER_PAGE", 1)
    photographs = [Listed(str(i), retinas[i]) for i in range(4)]
    rows = [reading.row() for reading in grader.grade_listed(photographs)]
    write_report(grader, photographs, rows, tmp_path)
    for name in ("page-5.html", "page-one.html", "page-1.html", "page-03.html", "notes.html"):
        (tmp_path / name).write_text("somebody's own")

    write_report(grader, photographs[:2], rows[:2], tmp_path)

    left = {path.name for path in tmp_path.iterdir()}
    assert left == {
        *("index.html", "page-2.html", "page-5.html", "page-one.html", "page-1.html", "page-03.html", "notes.html"),
        "patients.csv",
    }


def test_figures_show_intervals_as_one_and_spell_out_the_rest():
    evaluation = {
        "quadratic_kappa": {"estimate": 0.8412, "low": 0.7, "high": 0.9, "level": 0.95, "undefined": 0},
        "unseen": {"auroc_any": 0.95, "photographs": 84},
        "curve": [1, 2, 3],
    }

    assert list(figures(evaluation)) == [
        ("quadratic kappa", "0.841 (95% CI 0.700 to 0.900)"),
        ("unseen: auroc any", "0.950"),
        ("unseen: photographs", "84"),
    ]


def test_no_figure_of_a_release_is_left_out_of_the_report(tiny, retinas, tmp_path):
    evaluation = {"commissioning": {"verdict": "Guaranteed: at least 85%."}} | {
        f"site {number}": {"quadratic_kappa": 0.5 + number / 100, "photographs": number} for number in range(40)
    }
    grader = Grader.open(tiny["write_tiny_release"](tmp_path / "release", evaluation=evaluation), threads=1)

    page = Text(report_on(grader, [Listed("one.jpg", retinas[0])], tmp_path / "report"))

    assert "Guaranteed: at least 85%." in page.text
    assert all(f"site {number}: quadratic kappa" in page.text for number in range(40))


def test_templates_ship_with_the_package():
    folder = Path(report_module.__file__).parent / "templates"

    assert {path.name for path in folder.iterdir()} >= {"report.html.jinja", "report.css"}


@pytest.mark.parametrize(
    ("threshold", "words"),
    [
        (0.0, r"90 % prediction set: {\d}\."),
        (1.0, "90 % prediction set: all grades, none can be excluded"),
    ],
)
def test_the_set_of_grades_is_told_with_what_it_promises(tiny, tmp_path, retinas, threshold, words):
    sets = GradeSets(Conformal(alpha=0.1, threshold=threshold, patients=123, out_of_fold=True), from_answer=True)
    release = tiny["write_tiny_release"](tmp_path / "release", conformal=sets.to_dict())

    page = Text(report_on(Grader.open(release, threads=1), [Listed("one.jpg", retinas[0])], tmp_path / "page"))

    assert re.search(words, page.text)
    assert "at least 90 % of the time: of a photograph of a new patient" in page.text
    assert "patients like the 123" in page.text
    assert "calibrated on the networks of folds" in page.text


def test_grades_between_are_listed_and_without_sets_nothing_is_said(tiny, tmp_path, retinas, grader):
    sets = GradeSets(Conformal(alpha=0.2, threshold=1.0, patients=50), from_answer=True)
    release = tiny["write_tiny_release"](tmp_path / "release", conformal=sets.to_dict())
    mine, photographs = Grader.open(release, threads=1), [Listed("one.jpg", retinas[0])]
    rows = [reading.row() | {"grades_set": "1 2"} for reading in mine.grade_listed(photographs)]
    written = write_report(mine, photographs, rows, tmp_path / "page")[0]

    assert "80 % prediction set: {1, 2}." in Text(written.read_text(encoding="utf-8")).text
    assert "prediction set" not in Text(report_on(grader, photographs, tmp_path / "plain")).text


def test_a_patient_with_one_eye_photographed_is_marked_in_the_report(grader, retinas, tmp_path):
    photographs = [Listed("one.jpg", retinas[0], {"patient": "P1", "eye": "left"})]

    page = Text(report_on(grader, photographs, tmp_path))

    assert page.text.count("One eye only: no photograph of the right eye.") == 2


def test_a_heatmap_is_shown_beside_a_referral_and_never_beside_rescreen(certified, retinas, tmp_path):
    photographs = [Listed("one.jpg", retinas[0])]
    row = next(iter(certified.grade_listed(photographs))).row()

    def overlays(decision):
        page = write_report(certified, photographs, [row | {"decision": decision}], tmp_path / decision)[0]
        return page.read_text(encoding="utf-8").count("data:image/webp")

    assert (overlays("refer"), overlays("rescreen"), overlays("cannot grade")) == (1, 0, 0)


def test_patients_with_grades_three_and_four_are_counted_apart(grader, retinas, tmp_path):
    photographs = [Listed(str(i), retinas[i], {"patient": str(i), "eye": "left"}) for i in range(4)]
    rows = [
        reading.row() | {"decision": "refer", "grade": grade}
        for reading, grade in zip(grader.grade_listed(photographs), (2, 3, 4, 2), strict=True)
    ]

    def page(rows):
        return " ".join(
            Text(write_report(grader, photographs, rows, tmp_path)[0].read_text(encoding="utf-8")).text.split()
        )

    assert "!! sight-threatening: soon 2 PatientAnswer" in page(rows)
    assert "sight-threatening" not in page([row | {"grade": 2} for row in rows])


def test_the_report_says_what_happens_next_with_each_patient(grader, retinas, tmp_path):
    photographs = [
        Listed(str(i), retinas[i], {"patient": name, "eye": eye})
        for i, (name, eye) in enumerate([("A", "left"), ("A", "right"), ("B", "left"), ("B", "right"), ("C", "left")])
    ]
    answers = [("refer", 4), ("cannot grade", None), ("rescreen", 0), ("rescreen", 1), ("rescreen", 0)]
    rows = [
        reading.row() | {"decision": decision, "grade": grade}
        for reading, (decision, grade) in zip(grader.grade_listed(photographs), answers, strict=True)
    ]

    text = Text(write_report(grader, photographs, rows, tmp_path)[0].read_text(encoding="utf-8")).text

    assert text.count("Refer to an eye specialist: within 1 month. Photograph the right eye now.") == 2
    assert text.count("Next screening: 6 to 12 months.") == 2
    assert text.count("Photograph the right eye now; if there is no answer then either, refer for an examination.") == 2
    assert list(pd.read_csv(tmp_path / "patients.csv")["patient"]) == ["A", "C", "B"]


def test_a_report_in_spanish_has_no_english_but_what_the_release_and_the_files_say(certified, retinas, tmp_path):
    photographs = [
        Listed("one.jpg", retinas[0], {"patient": "P1", "eye": "left", "taken": "2026-01-02T10:00:00"}),
        Listed("two.jpg", retinas[1], {"patient": "P1", "eye": "right"}),
        Listed("three.jpg", retinas[2], {"patient": "P2", "eye": "left"}),
    ]
    rows = [reading.row() for reading in certified.grade_listed(photographs)]
    write_report(certified, photographs, rows, tmp_path, language="es")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")

    assert '<html lang="es">' in page
    for words in ("Informe de retinopatía diabética", "Paciente P1", "Ojo izquierdo", "Siguiente paso:", "Un solo ojo"):
        assert words in page, words
    assert "2026-01-02" in page
    page = page.replace("Guidelines for Diabetic Eye Care", "")
    shown = Text(re.sub(r'<dd lang="en">.*?</dd>|<style>.*?</style>', "", page, flags=re.DOTALL)).text
    english = ("photograph", "patient", "eye", "grade", "refer", "not a medical", "picture", "release ", "the ")
    assert [word for word in english if re.search(rf"\b{word}\b", shown.replace("P1-", ""), re.IGNORECASE)] == []
    assert list(pd.read_csv(tmp_path / "patients.csv")["next_step"].unique()) != []
    assert set(pd.read_csv(tmp_path / "patients.csv")["answer"]) <= set(certified.opened.task.words.decisions)


def test_a_name_in_the_style_sheet_cannot_end_it():
    assert css_string('a"}</style>1') == "a\\22 \\7d \\3c \\2f style\\3e 1"


def test_every_printed_page_carries_patient_date_release_number_and_notice(grader, retinas, tmp_path):
    details = {"patient": 'P"1', "taken": "2026-01-02T10:00:00"}
    page = report_on(grader, [Listed("one.jpg", retinas[0], details), Listed("two.jpg", retinas[1])], tmp_path)
    rule = page[page.index("@page { @top-left") : page.index("</style>")]

    assert '@page patient1 { @top-left { content: "Patient P\\22 1\\2c  examined 2026\\2d 01\\2d 02"; } }' in rule
    assert "#patient-0 { page: patient1; }" in rule
    assert "#patient-1" not in rule
    oedema = "Diabetic macular oedema and other diseases of the eye were not looked for."
    assert f'@bottom-left {{ content: "{css_string(f"{oedema} {NOT_A_DEVICE}")}"; }}' in rule
    assert '@bottom-right { content: "Page " counter(page) " of " counter(pages); }' in rule
    release = grader.opened.release
    day = re.escape(css_string(f"{datetime.now(UTC).date():%Y-}"))
    version = re.escape(css_string(f"{release.id} {release.version}"))
    assert re.search(rf'"Report of {day}[^"]*\\2c  release {version}"', rule)


def test_a_long_name_is_shortened_in_the_margin_of_printed_pages_alone(grader, retinas, tmp_path):
    name = "0123456789" * 9
    page = report_on(grader, [Listed("one.jpg", retinas[0], {"patient": name})], tmp_path)

    assert f'<h2 class="long">Patient {name}</h2>' in page
    assert css_string("Patient 01234567890123456789012345678901…890123456789, examined") in page
    assert css_string(name) not in page[page.index("<style>") : page.index("</style>")]


def test_a_patients_section_says_when_it_was_examined_and_what_was_not_looked_for(grader, retinas, tmp_path):
    photographs = [
        Listed(str(i), retinas[i], {"patient": name} | ({"taken": day} if day else {}))
        for i, (name, day) in enumerate([("A", "2026-03-01T08:00:00"), ("A", "2026-02-01T08:00:00"), ("B", None)])
    ]

    text = Text(report_on(grader, photographs, tmp_path)).text

    assert "Examined: 2026-02-01 to 2026-03-01. Diabetic macular oedema" in text
    assert "Examined: date not stated. Diabetic macular oedema and other diseases of the eye were not looked" in text


@pytest.mark.parametrize(("count", "compact"), [(2, False), (3, True)])
def test_three_photographs_of_a_patient_are_printed_on_one_page(grader, retinas, tmp_path, count, compact):
    photographs = [Listed(str(i), retinas[i], {"patient": "A"}) for i in range(count)]

    page = Text(report_on(grader, photographs, tmp_path))

    classes = [attributes["class"].split() for tag, attributes in page.tags if attributes.get("id") == "patient-0"]
    assert classes == [["patient", *(["compact"] if compact else [])]]
