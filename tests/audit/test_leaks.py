"""Nothing that is tested on was met in training without being named."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundoscope.audit.findings import Finding
from fundoscope.audit.leaks import containments, leak_findings, pretrained_on, straddling, trained_on
from fundoscope.data.protocols import leave_one_out
from fundoscope.data.split import fold_by_patient, split_by_patient, units_of
from fundoscope.errors import BadRequest
from fundoscope.tables import check_manifest

HASHES = [f"{k:064x}" for k in range(10)]


def manifest(**columns: list[object]) -> pd.DataFrame:
    count = len(next(iter(columns.values())))
    frame = pd.DataFrame({"image": [f"{k}.jpg" for k in range(count)], **columns})
    return check_manifest(frame, path="m.csv")


def by_check(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def test_patients_files_and_duplicates_on_two_sides_block_and_are_named_with_their_sides():
    frame = manifest(
        source=["s", "s", "t", "s", "s", "s", "s", "s"],
        patient=["p", "p", "p", None, None, None, None, None],
        sha256=[*HASHES[:3], HASHES[3], HASHES[3], HASHES[4], HASHES[5], HASHES[6]],
        duplicate_group=[None, None, None, "same file", "same file", "g", "g", "g"],
        split=["train", "test", "val", "train", "val", "train", "val", "test"],
    )

    found = by_check(straddling(frame, "split"))

    assert {name: finding.images for name, finding in found.items()} == {
        "patients-on-two-splits": ("0.jpg", "1.jpg"),
        "files-on-two-splits": ("3.jpg", "4.jpg"),
        "duplicates-on-two-splits": ("5.jpg", "6.jpg", "7.jpg"),
    }
    assert {finding.severity for finding in found.values()} == {"blocks"}
    patients = found["patients-on-two-splits"].evidence
    assert patients["groups"] == [
        {"name": "s p", "rows": [{"image": "0.jpg", "side": "train"}, {"image": "1.jpg", "side": "test"}]}
    ]
    assert patients["meetings"] == {"train and test": 1}
    assert found["duplicates-on-two-splits"].evidence["meetings"] == {"train and val and test": 1}


def test_folds_are_looked_at_as_splits_are_and_photographs_on_no_side_are_on_none():
    frame = manifest(patient=["p", "p", "q", "q"], fold=[0, 1, 0, None], split=["train", None, "train", "train"])

    (found,) = leak_findings(frame)

    assert (found.check, found.images) == ("patients-on-two-folds", ("0.jpg", "1.jpg"))


def test_one_person_in_two_sources_that_share_patients_is_one_patient():
    frame = manifest(source=["eyepacs", "rldr", "idrid"], patient=["7", "7", "7"], split=["train", "test", "val"])

    assert by_check(straddling(frame, "split"))["patients-on-two-splits"].images == ("0.jpg", "1.jpg")


@settings(deadline=None, max_examples=25)
@given(data=st.data(), method=st.sampled_from(["hash-based", "stratified"]))
def test_what_data_split_divides_has_no_leak(data, method):
    count = data.draw(st.integers(4, 25))
    columns = {
        "source": data.draw(st.lists(st.sampled_from(["eyepacs", "rldr"]), min_size=count, max_size=count)),
        "patient": data.draw(st.lists(st.sampled_from([None, "1", "2", "3"]), min_size=count, max_size=count)),
        "sha256": data.draw(st.lists(st.sampled_from([None, *HASHES]), min_size=count, max_size=count)),
        "duplicate_group": data.draw(
            st.lists(st.sampled_from([None, None, None, "g"]), min_size=count, max_size=count)
        ),
    }
    frame = manifest(**columns)

    assert straddling(split_by_patient(frame, method=method), "split") == ()
    if len(set(units_of(frame))) >= 2:
        assert straddling(fold_by_patient(frame, folds=2, method=method), "fold") == ()


def test_photographs_of_rldr_that_eyepacs_trains_on_block_until_a_protocol_takes_them_out():
    frame = manifest(
        source=["eyepacs", "eyepacs", "rldr"], patient=["10", "11", "10"], split=["train", "train", "test"]
    ).assign(image=["train/10_left.jpeg", "train/11_left.jpeg", "images/10_left.jpg"])

    (found,) = containments(frame)

    assert (found.check, found.severity) == ("known-containment", "blocks")
    assert found.images == ("train/10_left.jpeg", "images/10_left.jpg")
    assert found.evidence["sides"] == {"inner": {"test": 1}, "outer": {"train": 2}}
    (after,) = leak_findings(leave_one_out(frame, "rldr", val_share=0.0))
    assert (after.check, after.severity) == ("known-containment", "warns")


def test_messidor_in_messidor2_warns_across_sides_until_all_its_copies_are_marked():
    frame = manifest(
        source=["messidor", "messidor2"], split=["train", "test"], sha256=HASHES[:2], duplicate_group=["g", None]
    )

    (found,) = containments(frame)

    assert (found.severity, found.evidence["linked"], found.evidence["count"]) == ("warns", 0, 1058)
    assert containments(frame.assign(split="train"))[0].severity == "notes"
    assert containments(frame.assign(duplicate_group="g"))[0].evidence["linked"] == 1
    assert containments(frame.assign(source="messidor")) == ()


def test_a_release_is_not_tested_on_what_it_was_trained_on_nor_on_the_same_patients():
    frame = manifest(
        patient=["p", "q", "q", "r", "s"],
        sha256=HASHES[:5],
        split=["train", "train", "test", "val", "test"],
    )

    found = by_check(trained_on(frame, {HASHES[0], HASHES[1], HASHES[3]}))

    assert {name: finding.images for name, finding in found.items()} == {
        "trained-on": ("3.jpg",),
        "patients-trained-on": ("2.jpg",),
    }
    assert {finding.severity for finding in found.values()} == {"blocks"}
    assert trained_on(frame, {HASHES[0]}) == ()
    assert [each.images for each in trained_on(frame, {HASHES[3]}, side=("test",))] == []
    (whole,) = trained_on(frame.drop(columns="split"), {HASHES[0]})
    assert (whole.severity, whole.images) == ("warns", ("0.jpg",))


def test_a_test_set_that_a_network_was_pretrained_on_is_named_with_the_way_it_got_there():
    frame = manifest(source=["rldr", "rldr", "aptos", "eyepacs"], split=["test", "test", "test", "train"])

    (found,) = pretrained_on(frame, "retfound_mae_cfp")

    assert found.severity == "warns"
    assert (
        "retfound_mae_cfp was pretrained on eyepacs, which shares photographs with rldr; 2 photographs" in found.message
    )
    assert found.evidence["evidence"].startswith("https://www.nature.com/")
    assert leak_findings(frame, pretrained=["retfound_mae_cfp"])[-1] == found
    with pytest.raises(BadRequest, match=r"best_model_ever: expected one of retfound_mae_cfp"):
        pretrained_on(frame, "best_model_ever")


def test_a_finding_is_plain_json():
    frame = manifest(patient=["p", "p"], split=["train", "test"])

    (found,) = leak_findings(frame)

    assert found.to_dict()["images"] == ["0.jpg", "1.jpg"]
    assert found.to_dict()["evidence"]["meetings"] == {"train and test": 1}
