from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from fundoscope.errors import BadTable
from fundoscope.evaluation.statistics.detection import auroc
from fundoscope.evaluation.stress.compare import compare_stress
from fundoscope.evaluation.stress.summary import StressSummary, read_stress, record_for_release, summarise_stress

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


NOISE = {("clean", 0): 1.0, ("gamma", 1): 2.0, ("gamma", 5): 6.0, ("jpeg", 2): 3.0}


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

    assert len(summary.counted) == 3
    assert summary.stressed.estimate == pytest.approx(stressed)
    assert summary.criterion.estimate == pytest.approx((summary.clean.estimate + stressed) / 2)
    assert summary.criterion.low < summary.criterion.estimate < summary.criterion.high


def test_a_condition_that_is_nearly_always_refused_has_no_auroc_and_does_not_count(rng):
    summary = summary_of(rows(rng, noise=NOISE, refused={("gamma", 5): 45, ("jpeg", 2): 30}))
    doses = {(one.disturbance, one.dose): one for one in summary.doses}

    assert summary.counted == (("gamma", 1), ("jpeg", 2))
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
    assert set(record["criterion"]) == {"estimate", "low", "high", "level"}
    assert record["largest_loss"] == f"{worst.disturbance}, dose {worst.dose}: {worst.change.estimate:.4f}"
    assert {name for name in record if "healthier" in name or "misses" in name} == {
        "decision_to_healthier_most", "decision_sure_misses_most"
    }  # fmt: skip


def test_systems_are_compared_in_pairs_on_what_both_graded(rng):
    good = rows(rng, noise=NOISE)
    bad = rows(rng, noise={key: 3 * spread for key, spread in NOISE.items()}, refused={("gamma", 5): 20}, release="b@2")
    comparison = compare_stress(read_stress(good), read_stress(bad), resamples=200)

    assert comparison.conditions == (("gamma", 1), ("gamma", 5), ("jpeg", 2))
    assert set(comparison.differences) == {"clean", "stressed", "criterion", "gamma", "jpeg"}
    both = (good["disturbance"] == "gamma") & (good["dose"] == 5) & (bad["status"] == "graded")
    one, other = (
        auroc((frame[both]["reference"] >= 2).to_numpy(), frame[both]["p_referable"].to_numpy())
        for frame in (good, bad)
    )
    first = [(frame["disturbance"] == "gamma") & (frame["dose"] == 1) for frame in (good, bad)]
    mild = [
        auroc((frame[of]["reference"] >= 2).to_numpy(), frame[of]["p_referable"].to_numpy())
        for frame, of in zip((good, bad), first, strict=True)
    ]
    assert comparison.differences["gamma"].estimate == pytest.approx((one - other + mild[0] - mild[1]) / 2)
    assert comparison.differences["criterion"].low > 0
    values = comparison.values["criterion"]
    assert comparison.differences["criterion"].estimate == pytest.approx(values[0].estimate - values[1].estimate)


def test_a_system_differs_from_itself_in_nothing_whatever_the_order_of_its_rows(rng):
    frame = rows(rng, noise=NOISE)
    shuffled = frame.sample(frac=1, random_state=1).reset_index(drop=True)
    comparison = compare_stress(read_stress(frame), read_stress(shuffled), resamples=100)

    assert {name: one.estimate for name, one in comparison.differences.items()} == dict.fromkeys(
        ("clean", "stressed", "criterion", "gamma", "jpeg"), 0.0
    )


def test_other_sets_grades_or_photographs_are_not_compared(rng):
    table = read_stress(rows(rng, noise=NOISE))
    frame = rows(rng, noise=NOISE, release="b@2")
    with pytest.raises(BadTable, match="expected two of one stress set, got stress-1@x and stress-2@y"):
        compare_stress(table, read_stress(frame.assign(stress_set="stress-2@y")))
    with pytest.raises(BadTable, match="expected the same reference grades, got others"):
        compare_stress(table, read_stress(frame.assign(reference=3 - frame["reference"])))
    with pytest.raises(BadTable, match="got 0 shared ones"):
        compare_stress(table, read_stress(frame.assign(sha256="x" + frame["sha256"])))
