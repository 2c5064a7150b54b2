"""Whole sources are held out, and nobody who is tested on is trained on."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundoscope.data.protocols import (
    IN_RLDR,
    NOT_TRAINED,
    OWN_TEST,
    TESTED,
    TRAINED,
    UNPLACED,
    VALIDATED,
    leave_one_out,
    train_only,
)
from fundoscope.data.split import units_of
from fundoscope.errors import BadRequest


def manifest(*rows: tuple[str, str, str | None, str | None], **columns: list[str | None]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["source", "image", "patient", "split"], dtype=object)
    return frame.assign(**{name: pd.Series(values, dtype=object) for name, values in columns.items()})


def outcome(frame: pd.DataFrame) -> dict[str, str]:
    """Each photograph's side, else why it has none."""
    sides = frame["split"].where(frame["split"].notna(), frame["left_out"])
    return dict(zip(frame["image"], sides, strict=True))


@st.composite
def manifests(draw: st.DrawFn) -> pd.DataFrame:
    names = ["aptos", "ddr", "eyepacs", "rldr"]
    count = draw(st.integers(6, 30))
    column = {
        "source": [*names, *(draw(st.sampled_from(names)) for _ in range(count - 4))],
        "patient": [draw(st.sampled_from([None, "1", "2", "3", "4"])) for _ in range(count)],
        "split": [draw(st.sampled_from(["train", "train", "train", "val", "test", None])) for _ in range(count)],
        "duplicate_group": [draw(st.sampled_from([None] * 9 + ["g"])) for _ in range(count)],
        "image": [
            f"{k // 2}_{'left' if k % 2 else 'right'}.{'png' if k < count // 2 else 'jpg'}" for k in range(count)
        ],
    }
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in column.items()})


@settings(deadline=None, max_examples=60)
@given(
    frame=manifests(),
    source=st.sampled_from(["aptos", "ddr", "eyepacs", "rldr"]),
    single=st.booleans(),
    drop_from=st.sampled_from(["train", "test"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_nothing_is_on_two_sides_nothing_is_moved_and_the_order_does_not_matter(frame, source, single, drop_from, seed):
    divide = train_only if single else leave_one_out
    mixed = frame.sample(frac=1, random_state=seed)
    try:
        ours = divide(frame, source, drop_from=drop_from)
    except BadRequest:
        with pytest.raises(BadRequest, match="got none that can stay"):
            divide(mixed, source, drop_from=drop_from)
        return

    again = divide(mixed, source, drop_from=drop_from).sort_index()

    assert outcome(ours) == outcome(again)
    assert (ours.assign(unit=units_of(frame)).groupby("unit")["split"].nunique() <= 1).all()
    assert (ours["split"].isna() == ours["left_out"].notna()).all()
    tested = (ours["source"] != source) if single else (ours["source"] == source)
    assert tested[ours["split"] == "test"].all()
    assert not tested[ours["split"].isin(["train", "val"])].any()
    assert not ((frame["split"] == "val") & (ours["split"] == "train")).any()


def test_leaving_a_source_out_tests_on_all_of_it_and_keeps_the_others_own_sides():
    frame = manifest(
        ("aptos", "a0", "1", "train"),
        ("aptos", "a1", "2", "val"),
        ("aptos", "a2", "3", "test"),
        ("aptos", "a3", "4", None),
        ("idrid", "i0", "1", "train"),
        ("idrid", "i1", "2", "test"),
        ("ddr", "d0", "1", "train"),
    )

    assert outcome(leave_one_out(frame, "idrid", never_train=["ddr"])) == {
        **{"a0": "train", "a1": "val", "a2": OWN_TEST, "a3": UNPLACED},
        **{"i0": "test", "i1": "test", "d0": NOT_TRAINED},
    }


def test_training_on_one_source_tests_on_all_others():
    frame = manifest(
        ("aptos", "a0", "1", "train"),
        ("aptos", "a1", "2", "val"),
        ("idrid", "i0", "1", "train"),
        ("ddr", "d", "1", "val"),
    )

    assert outcome(train_only(frame, "aptos")) == {"a0": "train", "a1": "val", "i0": "test", "d": "test"}


def test_a_photograph_of_rldr_is_taken_out_of_eyepacs_and_its_patients_other_eye_out_of_training():
    frame = manifest(
        ("eyepacs", "train/10_left.jpeg", "10", "train"),
        ("eyepacs", "train/10_right.jpeg", "10", "train"),
        ("eyepacs", "train/11_left.jpeg", "11", "train"),
        ("rldr", "images/RLDR/10_left.jpg", "10", "train"),
        ("aptos", "a.png", None, "val"),
    )

    assert outcome(leave_one_out(frame, "rldr")) == {
        "train/10_left.jpeg": IN_RLDR,
        "train/10_right.jpeg": TESTED,
        "train/11_left.jpeg": "train",
        "images/RLDR/10_left.jpg": "test",
        "a.png": "val",
    }
    kept = outcome(train_only(frame, "rldr", drop_from="test", val_share=0.0))
    assert kept["images/RLDR/10_left.jpg"] == "train"
    assert (kept["train/10_left.jpeg"], kept["train/10_right.jpeg"]) == (IN_RLDR, TRAINED)
    assert kept["train/11_left.jpeg"] == "test"


def test_the_lists_of_gdrbench_are_divided_by_domain():
    frame = manifest(
        ("gdrbench", "images/RLDR/nodr/10_left.jpg", "eyepacs_10", "train"),
        ("gdrbench", "images/EYEPACS/Images/10_left.jpeg", "eyepacs_10", "train"),
        ("gdrbench", "images/EYEPACS/Images/11_left.jpeg", "eyepacs_11", "val"),
        ("gdrbench", "images/APTOS/nodr/x.png", None, "train"),
        domain=["RLDR", "EYEPACS", "EYEPACS", "APTOS"],
    )

    assert list(outcome(train_only(frame, "APTOS", by="domain", val_share=0.0)).values()) == [
        "test",
        IN_RLDR,
        "test",
        "train",
    ]


def test_a_patient_whom_a_source_trains_and_validates_on_is_only_validated_on():
    """29 patients of RLDR are in both of its lists."""
    frame = manifest(
        ("rldr", "1_left", "1", "train"),
        ("rldr", "1_right", "1", "val"),
        ("rldr", "2_left", "2", "train"),
        ("idrid", "i", "1", "train"),
    )

    assert outcome(leave_one_out(frame, "idrid")) == {
        "1_left": VALIDATED,
        "1_right": "val",
        "2_left": "train",
        "i": "test",
    }


def test_a_duplicate_of_a_tested_photograph_is_not_trained_on():
    frame = manifest(
        ("a", "a0", "1", "train"),
        ("a", "a1", "1", "train"),
        ("a", "a2", "2", "train"),
        ("b", "b0", "1", "train"),
        duplicate_group=["g", None, None, "g"],
    )

    assert outcome(leave_one_out(frame, "b", val_share=0.0)) == {
        "a0": TESTED,
        "a1": TESTED,
        "a2": "train",
        "b0": "test",
    }


def test_sources_without_a_validation_side_get_one_by_hash_that_stays_when_patients_come():
    rows = [("a", f"a{k}", str(k), None) for k in range(200)] + [("c", f"c{k}", str(k), "train") for k in range(200)]
    frame = manifest(*rows, ("b", "b0", "1", None))

    whole, fewer = leave_one_out(frame, "b", val_share=0.3), leave_one_out(frame.iloc[::2], "b", val_share=0.3)

    for _, part in whole[whole["source"] != "b"].groupby("source"):
        assert set(part["split"]) == {"train", "val"}
        assert abs((part["split"] == "val").mean() - 0.3) < 0.12
    assert whole["split"].iloc[::2].tolist() == fewer["split"].tolist()


def test_refuses_sources_that_are_not_there_and_divisions_that_leave_nothing():
    frame = manifest(("a", "a0", "1", "train"), ("b", "b0", "1", "train"))
    with pytest.raises(BadRequest, match=r"two sources in the column source, and c among them, got a, b"):
        leave_one_out(frame, "c")
    with pytest.raises(BadRequest, match=r"two sources in the column domain, and a among them, got none"):
        train_only(frame, "a", by="domain")
    with pytest.raises(BadRequest, match=r"expected each source's own split, got one that a protocol has divided"):
        leave_one_out(leave_one_out(frame, "a"), "b")
    with pytest.raises(BadRequest, match=r"a: expected photographs to train on, got none that can stay"):
        leave_one_out(frame.assign(duplicate_group="g"), "b")
    with pytest.raises(ValueError, match=r"val_share must be at least 0 and below 1, got 1"):
        leave_one_out(frame, "b", val_share=1.0)
