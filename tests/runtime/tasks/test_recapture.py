from __future__ import annotations

from itertools import combinations

import pytest

from fundoscope.photo.quality import FAULTS
from fundoscope.runtime.language.texts import LANGUAGES
from fundoscope.runtime.tasks.recapture import ADVICE, AGAIN, recapture_advice


def test_every_fault_has_an_advice_and_every_advice_a_text_in_each_language():
    assert set(ADVICE) == set(FAULTS)
    for texts in LANGUAGES.values():
        assert all(texts(f"recapture.{advice}") for advice in {*ADVICE.values(), AGAIN})


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_has_its_own_advice(fault):
    assert recapture_advice([fault]) == (ADVICE[fault],)


def test_the_lens_is_blamed_only_where_light_focus_and_framing_explain_nothing():
    assert recapture_advice(["vessels", "contrast"]) == ("lens",)
    assert recapture_advice(["vessels", "sharpness"]) == ("focus",)
    assert recapture_advice(["contrast", "vessels", "dark", "lid"]) == ("lid", "more_light")


def test_what_hides_the_others_comes_first_however_the_faults_are_ordered():
    assert recapture_advice(["sharpness", "field_size"]) == recapture_advice(["field_size", "sharpness"])
    assert recapture_advice(["sharpness", "dark", "no_retina"])[0] == "align"


def test_no_combination_is_left_without_an_advice():
    for count in (1, 2, 3):
        assert all(recapture_advice(faults) for faults in combinations(FAULTS, count))


def test_a_file_that_could_not_be_read_is_taken_again():
    assert recapture_advice([]) == ("again",)


def test_an_unknown_fault_is_refused_by_name():
    with pytest.raises(ValueError, match=r"faults: expected names of photo.quality.FAULTS, got glare"):
        recapture_advice(["dark", "glare"])
