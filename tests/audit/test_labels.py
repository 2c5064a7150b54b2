"""Labels that contradict one another, readers that disagree, and labels that predictions doubt."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from fundoscope.audit.agreement import agreement, contradictions, model_agreement, two_labels
from fundoscope.audit.labels import Suspect, label_findings, read_review, suspects, write_review
from fundoscope.audit.visits import between_visits
from fundoscope.errors import BadTable, MissingExtra
from fundoscope.evaluation.statistics.rates import wilson
from fundoscope.tables import check_manifest, read_table

HASHES = [f"{k:064x}" for k in range(400)]


def manifest(**columns: list[object]) -> pd.DataFrame:
    count = len(next(iter(columns.values())))
    frame = pd.DataFrame({"image": [f"{k}.jpg" for k in range(count)], **columns})
    return check_manifest(frame, path="m.csv")


def out_of_fold(rng: np.random.Generator, count: int = 400, wrong: int = 40) -> tuple[pd.DataFrame, set[str]]:
    """Predictions of a fair network (most likely grade right in two of three), and labels some of which are shifted."""
    truth = rng.choice(5, p=[0.35, 0.1, 0.3, 0.15, 0.1], size=count)
    severity = truth + rng.normal(0, 0.55, count)
    logits = -((severity[:, None] - np.arange(5)) ** 2) / (2 * 0.6**2) + rng.normal(0, 0.3, (count, 5))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    changed = rng.choice(count, wrong, replace=False)
    labels = truth.copy()
    up = rng.random(wrong) < 0.5
    labels[changed] += np.where((labels[changed] > 2) | ((labels[changed] == 2) & up), -2, 2)
    frame = manifest(grade=labels.tolist(), sha256=HASHES[:count], fold=(np.arange(count) % 3).tolist())
    frame[[f"p{k}" for k in range(5)]] = shares
    return frame, {f"{at}.jpg" for at in changed}


def test_most_labels_that_were_changed_by_two_grades_are_among_the_first_suspects(rng):
    frame, changed = out_of_fold(rng)

    found = suspects(frame)

    assert len({each.image for each in found[:80]} & changed) >= 0.6 * len(changed)
    assert all(each.suggested != each.given for each in found)
    assert all(each.issue for each in found[: sum(each.issue for each in found)])


def test_the_ranking_does_not_depend_on_the_order_of_the_rows(rng):
    frame, _ = out_of_fold(rng)

    first, again = (suspects(each) for each in (frame, frame.sample(frac=1, random_state=1)))

    assert [each.image for each in first] == [each.image for each in again]


def test_of_labels_that_are_equally_unlikely_the_one_further_away_is_read_first():
    shares = {0: [0.9, 0.1, 0.0, 0.0, 0.0], 1: [0.1, 0.9, 0.0, 0.0, 0.0], 4: [0.0, 0.0, 0.0, 0.1, 0.9]}
    rows = [*((grade, shares[grade]) for grade in (0, 1, 4) for _ in range(10)), (1, shares[4]), (0, shares[4])]
    frame = manifest(grade=[grade for grade, _ in rows], fold=[0] * len(rows))
    frame[[f"p{k}" for k in range(5)]] = [each for _, each in rows]

    found = suspects(frame)

    assert [each.image for each in found] == ["31.jpg", "30.jpg"]
    assert found[0].distance == pytest.approx(3.9)
    assert found[0].why == (
        "labelled 0 (no retinopathy), which a network that has not seen this patient gives 0%; it gives 4 "
        "(proliferative) 90% and expects grade 3.9"
    )
    assert found[0].to_dict()["probabilities"] == [0.0, 0.0, 0.0, 0.1, 0.9]


def test_predictions_on_photographs_that_were_trained_on_find_no_wrong_labels_and_are_refused(rng):
    frame, _ = out_of_fold(rng, count=60, wrong=5)
    blank = frame.assign(fold=pd.array([None] * 60, dtype="Int64"))

    with pytest.raises(BadTable, match=r"0\.jpg: expected an out-of-fold prediction .* that may be in-sample"):
        suspects(blank)
    with pytest.raises(BadTable, match=r"7\.jpg: expected an out-of-fold .* that the release was trained on"):
        suspects(blank, trained_on={HASHES[7]})
    with pytest.raises(BadTable, match=r"7\.jpg"):
        suspects(frame.assign(predicted_fold=blank["fold"]), trained_on={HASHES[7]})
    assert suspects(blank, trained_on={HASHES[399]}) == suspects(frame) == suspects(blank, held_out=True)


def test_tables_without_grades_or_probabilities_are_refused(rng):
    frame, _ = out_of_fold(rng, count=20, wrong=2)
    with pytest.raises(BadTable, match=r"p0 to p4 beside it, got no p3\."):
        suspects(frame.drop(columns="p3"))
    with pytest.raises(BadTable, match=r"expected photographs with a grade and with p0 to p4, got none among 20"):
        suspects(frame.assign(grade=pd.array([None] * 20, dtype="Int64")))


def test_without_cleanlab_the_extra_is_named(rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(MissingExtra, match=r"looking for doubtful labels needs packages .*fundoscope.research"):
        suspects(out_of_fold(rng, count=20, wrong=2)[0])


@pytest.mark.parametrize("grades", [[0] * 6, [0, 3] * 3])
def test_grades_that_never_occur_do_not_stop_the_search(grades):
    frame = manifest(grade=grades, fold=[0] * 6)
    frame[[f"p{k}" for k in range(5)]] = [[0.1, 0.1, 0.6, 0.1, 0.1]] * 6

    assert {each.suggested for each in suspects(frame)} == {2}


def test_pictures_with_two_grades_are_named_the_widest_apart_first():
    frame = manifest(
        source=["a"] * 6,
        sha256=[HASHES[0], HASHES[0], *HASHES[1:5]],
        duplicate_group=[None, None, "g", "g", "h", "h"],
        grade=[1, 2, 0, 4, 3, 3],
        dme=[0, 0, 0, 0, 1, None],
    )

    (found,) = contradictions(frame)

    assert (found.check, found.severity) == ("contradicting-grade", "warns")
    assert found.images == ("2.jpg", "3.jpg", "0.jpg", "1.jpg")
    assert (found.evidence["pictures"], found.evidence["more_than_one_apart"]) == (2, 1)


def test_kappas_of_two_readers_are_scikit_learns_and_their_interval_is_by_patient(rng):
    first = rng.integers(0, 5, 200)
    second = np.clip(first + rng.integers(-1, 2, 200), 0, 4)

    ours = agreement(first.tolist(), second.tolist(), [f"p{k // 2}" for k in range(200)], resamples=200)

    for name, weights in (("quadratic", "quadratic"), ("linear", "linear"), ("unweighted", None)):
        reference = cohen_kappa_score(first, second, weights=weights)
        assert ours[f"{name}_kappa"]["estimate"] == pytest.approx(reference)
    assert ours["accuracy"]["estimate"] == pytest.approx((first == second).mean())
    assert ours["within_one"]["estimate"] == 1
    assert ours["accuracy"]["low"] < ours["accuracy"]["estimate"] < ours["accuracy"]["high"]
    both = (first.tolist() * 2, second.tolist() * 2)
    twice = agreement(*both, [*range(200), *range(200)], resamples=200)
    assert twice == agreement(first.tolist(), second.tolist(), list(range(200)), resamples=200)


def test_agreement_of_one_patient_has_no_interval():
    of_one_patient = agreement([1, 2], [1, 3], ["p", "p"])
    assert of_one_patient["quadratic_kappa"]["low"] is None
    low, high = wilson(0.5, 1.0, level=0.95)  # of a rate she is one case
    assert of_one_patient["accuracy"] == {"estimate": 0.5, "low": low, "high": high}


def test_two_labels_of_a_photograph_and_of_a_picture_in_two_sources_are_compared():
    frame = manifest(
        source=["rldr", "rldr", "eyepacs", "eyepacs", "idrid"],
        patient=["1", "2", "1", "2", "1"],
        grade=[2, 3, 2, 0, 1],
        grade_second=[2, 1, None, None, None],
        duplicate_group=["g", "h", "g", "h", None],
    )

    own, across = two_labels(frame, resamples=50)

    assert own.message.startswith("rldr: grade and grade_second: 2 photographs have both labels, 50.0% the same")
    assert own.images == ("1.jpg",)
    assert across.message.startswith("eyepacs and rldr, on pictures that both hold: 2 photographs")
    assert across.evidence["confusion"][0][3] == across.evidence["confusion"][2][2] == 1
    assert label_findings(frame)[0].check == "contradicting-grade"


def test_a_reader_is_compared_with_a_model_likewise():
    rows = manifest(grade=[0, 2, None], predicted_grade=[0, 4, 1])

    (found,) = model_agreement(rows, resamples=50)

    assert (found.evidence["photographs"], found.images) == (2, ("1.jpg",))
    assert model_agreement(rows.drop(columns="predicted_grade")) == ()


def test_an_eye_that_falls_from_severe_to_none_between_visits_is_suspicious():
    frame = manifest(
        patient=["p"] * 5 + ["q"] * 4,
        eye=["left", "left", "left", "right", "right", "left", "left", "right", "right"],
        visit=["2", "10", "10", "2", "10", None, None, "first", "second"],
        taken=[None] * 5 + ["2020-01-02T10:00:00", "2020-01-02T10:04:00", None, None],
        grade=[3, 1, 0, 1, 2, 0, 4, 0, 1],
    )

    falls, changes = between_visits(frame)

    assert (falls.check, falls.severity) == ("grade-falls-between-visits", "warns")
    assert falls.images == ("0.jpg", "1.jpg", "2.jpg")
    assert changes.evidence == {"eyes": 2, "unordered_eyes": 1, "rises": 1, "falls": 1, "same": 0}
    assert between_visits(manifest(grade=[1], patient=["p"])) == ()


def listed(tmp_path, answers: str) -> tuple[pd.DataFrame, str]:
    """A manifest, and a review of two of its photographs with a reader's answers filled in."""
    frame = manifest(grade=[0, 1, 2], patient=["p", "q", "r"])
    common = {
        "probabilities": (0.0, 0.0, 1.0, 0.0, 0.0),
        "quality": 0.0,
        "distance": 2.0,
        "issue": True,
        "why": "because",
    }
    path = tmp_path / "review.csv"
    write_review([Suspect(image=f"{k}.jpg", given=k, suggested=2, **common) for k in (0, 1)], path)
    lines = path.read_text().splitlines()
    filled = [line.removesuffix(",,") + answer for line, answer in zip(lines[1:], answers.split("|"), strict=True)]
    path.write_text("\n".join([lines[0], *filled]) + "\n")
    return frame, str(path)


def test_a_review_comes_back_as_corrected_labels_with_their_provenance(tmp_path):
    frame, path = listed(tmp_path, "Dr A,3,haemorrhages in four quadrants|,,")

    corrected = read_review(path, frame)

    assert corrected["grade"].tolist() == [3, 1, 2]
    assert corrected["grade_original"].tolist() == [0, pd.NA, pd.NA]
    assert corrected["grade_by"].tolist() == ["Dr A", None, None]
    assert corrected["grade_why"].tolist()[0] == "haemorrhages in four quadrants"
    assert frame["grade"].tolist() == [0, 1, 2]
    assert list(read_table(path).columns) == [
        "image",
        "given",
        "suggested",
        "why",
        "reader",
        "reviewed_grade",
        "comment",
    ]


def test_the_first_label_is_remembered_however_often_a_photograph_is_read_again(tmp_path):
    frame, path = listed(tmp_path, "A,3,|A,1,")
    once = read_review(path, frame)
    (tmp_path / "again.csv").write_text("image,given,suggested,why,reader,reviewed_grade\n0.jpg,3,2,w,B,2\n")

    twice = read_review(tmp_path / "again.csv", once)

    assert (twice["grade"].iloc[0], twice["grade_original"].iloc[0], twice["grade_by"].iloc[0]) == (2, 0, "B")
    assert (twice["grade"].iloc[1], twice["grade_by"].iloc[1], twice["grade_why"].iloc[1]) == (1, "A", "because")


@pytest.mark.parametrize(
    ("answers", "change", "words"),
    [
        ("A,5,|,,", {}, r"row 2, column reviewed_grade: expected a grade from 0 to 4, got '5'"),
        ("A,severe,|,,", {}, r"expected a grade from 0 to 4, got 'severe'"),
        (",,|,3,", {}, r"row 3, column reader: expected who gave grade 3, got a blank"),
        ("A,3,|,,", {"image": ["x", "y", "z"]}, r"row 2, column image: .* got '0\.jpg', which it does not hold"),
        (
            "A,3,|,,",
            {"grade": [2, 2, 2]},
            r"expected 0\.jpg to have grade 0 as when it was listed, the manifest says 2",
        ),
    ],
)
def test_a_review_that_cannot_be_right_is_refused(tmp_path, answers, change, words):
    frame, path = listed(tmp_path, answers)
    with pytest.raises(BadTable, match=words):
        read_review(path, frame.assign(**change))


def test_a_review_without_its_columns_or_with_a_photograph_twice_is_refused(tmp_path):
    frame, path = listed(tmp_path, "A,3,|,,")
    review = read_table(path)
    review.drop(columns="reader").to_csv(tmp_path / "a.csv", index=False)
    pd.concat([review, review]).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(BadTable, match=r"got none called reader"):
        read_review(tmp_path / "a.csv", frame)
    with pytest.raises(BadTable, match=r"row 4, column image: .* a second time"):
        read_review(tmp_path / "b.csv", frame)
