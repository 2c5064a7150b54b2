"""What is known of one set inside another, and of what models have seen."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundoscope.data.known import (
    CONTAINMENTS,
    PRETRAINED_ON,
    contained,
    eyepacs_eye,
    pretraining_overlap,
    rldr_names_in_eyepacs,
)
from fundoscope.errors import BadRequest
from fundoscope.tables.patients import PERSON_POOLS


def test_every_entry_has_its_evidence():
    for entry in (*CONTAINMENTS, *PRETRAINED_ON.values()):
        assert "https://" in entry.evidence or "extras.csv" in entry.evidence


def test_no_set_lies_in_itself_and_no_pair_is_told_twice():
    pairs = [(one.inner, one.outer) for one in CONTAINMENTS]

    assert len(set(pairs)) == len(pairs)
    assert not any((outer, inner) in pairs for inner, outer in pairs)


def test_eyepacs_with_rldr_is_a_leak_and_either_alone_is_none():
    (leak,) = contained(["rldr", "aptos", "eyepacs"])

    assert (leak.inner, leak.outer, leak.count, leak.same_patients) == ("rldr", "eyepacs", 1593, True)
    assert contained(["rldr", "aptos"]) == ()
    assert contained(["eyepacs"]) == ()


@given(st.sets(st.sampled_from(sorted({one.inner for one in CONTAINMENTS} | {one.outer for one in CONTAINMENTS}))))
def test_more_sources_never_hide_a_containment(sources):
    assert set(contained(sources)) <= set(contained([*sources, "eyepacs", "gdrbench"]))


def test_gdrbench_holds_its_eight_domains():
    inside = {one.inner for one in CONTAINMENTS if one.outer == "gdrbench"}

    assert {"aptos", "deepdrid", "fgadr", "idrid", "messidor2", "rldr", "ddr", "eyepacs"} <= inside


def test_retfound_has_seen_rldr_because_it_has_seen_eyepacs():
    found = pretraining_overlap("retfound_mae_cfp", ["rldr", "idrid", "eyepacs", "gdrbench"])

    assert [(one.source, one.through) for one in found] == [
        ("eyepacs", "eyepacs"),
        ("gdrbench", "eyepacs"),
        ("rldr", "eyepacs"),
    ]
    assert "GDRBench/splits" in found[2].evidence


def test_retfound_green_has_seen_ddr_but_no_eyepacs():
    assert [one.source for one in pretraining_overlap("retfound_green", ["ddr", "eyepacs", "rldr"])] == ["ddr"]


def test_what_is_not_known_of_a_model_is_not_called_clean():
    with pytest.raises(BadRequest, match=r"retclip: expected one of retfound_mae_cfp, .* nothing is known of this one"):
        pretraining_overlap("retclip", ["eyepacs"])


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("10009_left", ("10009", "left")),
        ("train/10_right.jpeg", ("10", "right")),
        (r"folder\7_left.png", ("7", "left")),
        ("IDRiD_001.jpg", (None, None)),
        ("1_l1.jpg", (None, None)),
    ],
)
def test_a_name_of_eyepacs_carries_patient_and_eye(name, answer):
    assert eyepacs_eye(name) == answer


def test_the_photographs_that_two_manifests_share_are_named_whatever_their_folders():
    eyepacs = pd.DataFrame({"image": ["train/10_left.jpeg", "train/10_right.jpeg", "test/9_left.jpeg"]})
    rldr = pd.DataFrame({"image": ["images/RLDR/pdr/9_left.jpg", "x/10_right.png", "x/11_left.jpg", "IDRiD_001.jpg"]})

    assert rldr_names_in_eyepacs(eyepacs, rldr) == ("10_right", "9_left")
    assert rldr_names_in_eyepacs(rldr, eyepacs) == rldr_names_in_eyepacs(eyepacs, rldr)


def test_sources_with_the_same_patients_are_in_one_pool_of_persons_and_no_others_are():
    pairs = {(each.inner, each.outer) for each in CONTAINMENTS if each.same_patients}

    assert set(PERSON_POOLS) == {name for pair in pairs for name in pair}
    assert all(PERSON_POOLS[inner] == PERSON_POOLS[outer] for inner, outer in pairs)
