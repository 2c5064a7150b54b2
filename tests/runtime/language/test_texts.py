from __future__ import annotations

import string

import pytest

from fundoscope.grades import GRADE_NAMES, NOT_A_DEVICE
from fundoscope.photo import quality
from fundoscope.photo.scans import gradability
from fundoscope.runtime.language.texts import IN_ENGLISH, LANGUAGES
from fundoscope.runtime.reading import FELLOW_WORDS


def names_in_braces(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_texts_with_the_same_names_to_fill_in(language):
    texts = LANGUAGES[language]

    assert texts.language == language
    assert set(texts.texts) == set(IN_ENGLISH.texts)
    different = [
        key for key, text in IN_ENGLISH.texts.items() if names_in_braces(text) != names_in_braces(texts.texts[key])
    ]
    assert different == []
    assert all(text.strip() == text != "" for text in texts.texts.values())


def test_spanish_is_not_english():
    """Apart from texts that are only values and marks."""
    spanish = LANGUAGES["es"]
    same = {key for key, text in IN_ENGLISH.texts.items() if spanish.texts[key] == text}

    assert same == {"days.on", "classes.heading"}


def test_english_has_the_grades_and_the_notice_of_the_package():
    assert tuple(IN_ENGLISH(f"grade.{grade}") for grade in range(5)) == GRADE_NAMES
    assert IN_ENGLISH("notice") == NOT_A_DEVICE


def test_a_value_from_outside_is_filled_in_as_it_is():
    assert IN_ENGLISH("patient", patient="{count} {0}") == "Patient {count} {0}"


def test_counts_of_one_are_said_as_such():
    assert [LANGUAGES["es"].counted("photographs", count) for count in (0, 1, 2)] == [
        *("0 fotografías", "1 fotografía", "2 fotografías")
    ]


@pytest.mark.parametrize(
    ("months", "english", "spanish"),
    [
        ((0, 0), "now", "ahora"),
        ((0, 1), "within 1 month", "en menos de 1 mes"),
        ((0, 3), "within 3 months", "en menos de 3 meses"),
        ((6, 12), "6 to 12 months", "de 6 a 12 meses"),
    ],
)
def test_intervals_are_said_in_months(months, english, spanish):
    assert (IN_ENGLISH.interval(*months), LANGUAGES["es"].interval(*months)) == (english, spanish)


def test_one_or_two_eyes_are_listed():
    texts = LANGUAGES["es"]

    assert texts.listed([texts.eye("eye.object", "left")]) == "el ojo izquierdo"
    assert texts.listed([texts.eye("eye.object", "left"), texts.eye("eye.object", "right")]) == (
        "el ojo izquierdo y el ojo derecho"
    )


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("vessels are hard to see (vessels 0.23)", "los vasos se ven mal (vasos 0.23)"),
        (
            "too dark (exposure 0.04, at least 0.25 needed); too little contrast (contrast 0.10, at least 0.20 needed)",
            "demasiado oscura (exposición 0.04, se necesita al menos 0.25); muy poco contraste (contraste 0.10, se "
            "necesita al menos 0.20)",
        ),
        ("Graded without the other eye: a.jpg could not be read.", "Graduada sin el otro ojo: a.jpg no se pudo leer."),
        ("Dust was not retouched: a.jpg (b 0.10) is another camera's.", None),
    ],
)
def test_reasons_are_translated_as_far_as_they_are_of_the_picture(reason, words):
    assert LANGUAGES["es"].reason(reason) == (words or reason)
    assert IN_ENGLISH.reason(reason) == reason


def test_every_phrase_on_the_quality_of_a_photograph_is_in_the_catalogue():
    phrases = {*quality._COMPLAINTS.values(), *quality._RESERVATIONS.values(), *quality._OF_BRIGHT.values()}
    phrases |= {gradability.NO_RETINA, gradability.CUT_OFF, gradability.WEAK, gradability.NOT_A_SCAN}

    assert {f"reason:{phrase}" for phrase in phrases} <= set(IN_ENGLISH.texts)


@pytest.mark.parametrize("words", FELLOW_WORDS.values(), ids=FELLOW_WORDS)
def test_what_became_of_the_other_eye_is_in_the_catalogue(words):
    known = [key.removeprefix("reason:") for key in IN_ENGLISH.texts if key.startswith("reason:")]
    rest = words.replace("{name}", "")
    for phrase in known:
        rest = rest.replace(phrase, "")

    assert not any(sign.isalpha() for sign in rest)
