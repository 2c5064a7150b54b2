from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from fundoscope.errors import BadTable
from fundoscope.evaluation.statistics.detection import auroc
from fundoscope.evaluation.stress.summary import StressSummary, record_for_release, summarise_stress
from fundoscope.evaluation.stress.table import read_stress
from fundoscope.tables import PROBABILITIES

PHOTOGRAPHS = 60


def rows(
    rng: np.random.Generator, *, noise: dict[tuple[str, int], float], refused: dict[tuple[str, int], int] | None = None,
    release: str = "a@1",
) -> pd.DataFrame:  # fmt: skip
    """Scores that are the truth and noise; the first photographs of some conditions are refused."""
    truth = np.arange(PHOTOGRAPHS) % 2
    frames = []
    for (name, dose), spread in noise.items():
        score = 1 / (1 + np.exp(-(4 * truth - 2 + spread * rng.normal(size=PHOTOGRAPHS))))
        graded = np.arange(PHOTOGRAPHS) >= (refused or {}).get((name, dose), 0)
        frames.append(
            pd.DataFrame(
                {
                    "image": [f"{at}.jpg" for at in range(PHOTOGRAPHS)],
                    "sha256": [f"{at:064d}" for at in range(PHOTOGRAPHS)],
                    "source": "s", "patient": [f"p{at // 2}" for at in range(PHOTOGRAPHS)],
                    "reference": 3 * truth, "disturbance": name, "dose": dose, "amount": 1.0,
                    "status": np.where(graded, "graded", "ungradable"), "reason": "", "quality": "good",
                    "p_referable": score, "grade": 2, "grades_set": None,
                    "decision": np.where(graded, np.where(score >= 0.5, "refer", "rescreen"), "cannot grade"),
                    "release": release, "fold": None, "stress_set": "stress-1@x",
                }
            )
        )  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def graded_rows(rng: np.random.Generator, noise: dict[tuple[str, int], float]) -> pd.DataFrame:
    """The same with grades 0 to 4 as references, probabilities of the grades and the likeliest one as the answer."""
    reference = np.arange(PHOTOGRAPHS) % 5
    frame = rows(rng, noise=noise)
    parts = []
    for spread in noise.values():
        seen = reference + 0.5 * spread * rng.normal(size=PHOTOGRAPHS)
        shares = np.exp(-((seen[:, None] - np.arange(5)) ** 2))
        parts.append(shares / shares.sum(axis=1, keepdims=True))
    shares = np.concatenate(parts)
    frame[list(PROBABILITIES)] = shares
    return frame.assign(
        reference=np.tile(reference, len(noise)), grade=shares.argmax(axis=1), p_referable=shares[:, 2:].sum(axis=1)
    )


NOISE = {("clean", 0): 2.5, ("gamma", 1): 2.0, ("gamma", 5): 6.0, ("jpeg", 2): 3.0}


def summary_of(frame: pd.DataFrame) -> StressSummary:
    return summarise_stress(read_stress(frame), resamples=200)


def test_aurocs_are_those_of_the_photographs_graded_under_each_condition(rng):
    frame = rows(rng, noise=NOISE, refused={("gamma", 5): 20})
    summary = summary_of(frame)

    for one in summary.doses:
        of = frame[(frame["disturbance"] == one.disturbance) & (frame["dose"] == one.dose)]
        graded = of[of["status"] == "graded"]
        before = frame[(frame["disturbance"] == "clean") & frame["image"].isin(graded["image"])]
        here, clean = (
            auroc((part["reference"] >= 2).to_numpy(), part["p_referable"].to_numpy()) for part in (graded, before)
        )
        assert one.auroc.estimate == pytest.approx(here)
        assert one.change.estimate == pytest.approx(here - clean)
        assert one.auroc.low < one.auroc.estimate < one.auroc.high


def test_the_criterion_is_the_mean_of_clean_and_of_the_mean_over_conditions(rng):
    summary = summary_of(rows(rng, noise=NOISE))
    stressed = np.mean([one.auroc.estimate for one in summary.doses])

    means = summary.means["auroc"]
    assert len(summary.counted["auroc"]) == 3
    assert means["stressed"].estimate == pytest.approx(stressed)
    assert means["criterion"].estimate == pytest.approx((means["clean"].estimate + stressed) / 2)
    assert means["criterion"].low < means["criterion"].estimate < means["criterion"].high
    assert list(summary.means) == ["auroc"]  # the table has no probabilities of the grades


def test_the_overall_figure_is_the_mean_of_kappa_and_of_the_aurocs_of_three_questions(rng):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")
    frame = graded_rows(rng, NOISE)
    summary = summary_of(frame)

    def overall(name: str, dose: int) -> float:
        of = frame[(frame["disturbance"] == name) & (frame["dose"] == dose)]
        reference, shares = of["reference"].to_numpy(), of[list(PROBABILITIES)].to_numpy()
        aurocs = [auroc(reference >= cut, shares[:, cut:].sum(axis=1)) for cut in (1, 2, 3)]
        return float(np.mean([metrics.cohen_kappa_score(reference, of["grade"], weights="quadratic"), *aurocs]))

    stressed = np.mean([overall(name, dose) for name, dose in NOISE if name != "clean"])
    means = summary.means["overall"]
    assert means["clean"].estimate == pytest.approx(overall("clean", 0))
    assert means["stressed"].estimate == pytest.approx(stressed)
    assert means["criterion"].estimate == pytest.approx((overall("clean", 0) + stressed) / 2)


def test_a_condition_counts_for_the_overall_figure_only_with_enough_of_every_kind(rng):
    frame = graded_rows(rng, NOISE)
    threatening = frame["reference"] >= 3
    gone = (frame["disturbance"] == "gamma") & (frame["dose"] == 5) & threatening & (frame["reference"] == 4)
    summary = summary_of(frame.assign(status=np.where(gone, "ungradable", frame["status"])))

    assert ("gamma", 5) in summary.counted["auroc"]
    assert ("gamma", 5) in summary.counted["overall"]
    summary = summary_of(
        frame.assign(
            status=np.where(
                (frame["disturbance"] == "gamma") & (frame["dose"] == 5) & threatening, "ungradable", frame["status"]
            )
        )
    )
    assert ("gamma", 5) in summary.counted["auroc"]
    assert summary.counted["overall"] == (("gamma", 1), ("jpeg", 2))


def test_a_condition_that_is_nearly_always_refused_has_no_auroc_and_does_not_count(rng):
    summary = summary_of(rows(rng, noise=NOISE, refused={("gamma", 5): 45, ("jpeg", 2): 30}))
    doses = {(one.disturbance, one.dose): one for one in summary.doses}

    assert summary.counted["auroc"] == (("gamma", 1), ("jpeg", 2))
    assert math.isnan(doses["gamma", 5].auroc.estimate)
    assert doses["gamma", 5].refused.estimate == 0.75
    assert summary.refusing_dose("gamma") == 5
    assert summary.refusing_dose("jpeg") == 2
    assert summary_of(rows(rng, noise=NOISE)).refusing_dose("gamma") is None


def test_decisions_that_change_and_confident_mistakes_are_counted(rng):
    frame = rows(rng, noise=NOISE)
    clean = frame["disturbance"] == "clean"
    gamma = (frame["disturbance"] == "gamma") & (frame["dose"] == 1)
    frame.loc[clean, "decision"] = np.where(np.arange(PHOTOGRAPHS) % 2, "refer", "rescreen")
    frame.loc[gamma, "decision"] = frame.loc[clean, "decision"].to_numpy()
    frame.loc[gamma, ["p_referable"]] = 0.5
    # Photographs 1, 3 and 5 are referable; 0 and 2 are not. Of 5 nothing is certain.
    for at, decision, score in ((1, "rescreen", 0.05), (3, "rescreen", 0.02), (5, "rescreen", 0.4), (0, "refer", 0.95)):
        frame.loc[gamma & (frame["image"] == f"{at}.jpg"), ["decision", "p_referable"]] = [decision, score]
    one = next(one for one in summary_of(frame).doses if (one.disturbance, one.dose) == ("gamma", 1))

    assert (one.to_healthier, one.to_referred, one.sure_misses, one.sure_alarms) == (3, 1, 2, 1)
    assert one.sensitivity.estimate == pytest.approx(27 / 30)
    assert one.specificity.estimate == pytest.approx(29 / 30)


def test_where_there_are_sets_of_grades_they_say_what_is_confident(rng):
    frame = rows(rng, noise=NOISE)
    gamma = (frame["disturbance"] == "gamma") & (frame["dose"] == 1)
    frame.loc[gamma, ["decision", "p_referable"]] = ["rescreen", 0.4]
    frame.loc[gamma, "grades_set"] = np.where(np.arange(PHOTOGRAPHS) < 10, "0 1", "0 1 2")
    one = next(one for one in summary_of(frame).doses if (one.disturbance, one.dose) == ("gamma", 1))

    assert one.sure_misses == 5  # the odd ones of the first ten


def test_refused_and_unreadable_photographs_are_in_no_figure_but_counted(rng):
    frame = rows(rng, noise=NOISE)
    clean = frame["disturbance"] == "clean"
    frame.loc[clean & frame["image"].isin(["0.jpg", "1.jpg"]), "status"] = "ungradable"
    frame.loc[clean & (frame["image"] == "2.jpg"), "status"] = "unreadable"
    table = read_stress(frame)

    assert len(table.images) == PHOTOGRAPHS - 3
    assert (table.refused_clean, table.unreadable) == (2, 1)


def test_tables_of_too_few_or_of_mixed_rows_are_refused(rng):
    frame = rows(rng, noise=NOISE)
    with pytest.raises(BadTable, match="expected one release, got a@1, b@2"):
        read_stress(pd.concat([frame, rows(rng, noise=NOISE, release="b@2")]))
    with pytest.raises(BadTable, match="expected photographs that are graded when clean, got none"):
        read_stress(frame.assign(status="ungradable"))
    few = frame[frame["image"].isin([f"{at}.jpg" for at in range(12)])]
    with pytest.raises(BadTable, match="expected at least 10 photographs with and without referable disease, got 6"):
        summary_of(few)


def test_the_record_for_a_release_is_small_and_its_decisions_are_named_as_such(rng):
    summary = summary_of(rows(rng, noise=NOISE))
    record = record_for_release(summary, {"split": "train"})
    worst = min(summary.doses, key=lambda one: one.change.estimate)

    assert record["split"] == "train"
    assert record["stress_set"] == "stress-1@x"
    assert set(record["AUROC referable, mean of the two"]) == {"estimate", "low", "high", "level"}
    assert record["largest_loss"] == f"{worst.disturbance}, dose {worst.dose}: {worst.change.estimate:.4f}"
    assert {name for name in record if "healthier" in name or "misses" in name} == {
        "decision_to_healthier_most", "decision_sure_misses_most"
    }  # fmt: skip
