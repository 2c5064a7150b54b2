from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fundoscope.clinic.commissioning.commission import Terms
from fundoscope.clinic.commissioning.from_tables import commission_tables
from fundoscope.clinic.commissioning.protocol import commission_release
from fundoscope.clinic.commissioning.provenance import OWN, UNCHECKED
from fundoscope.decide.referral import threshold_at
from fundoscope.errors import BadTable
from fundoscope.records import seal_of
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.release import OpenRelease, open_release
from fundoscope.tables import write_table
from fundoscope.tables.pair import Pair, read_pair

DAY = date(2031, 2, 3)
TERMS = Terms(sensitivity=0.8, confidence=0.95)


@pytest.fixture
def pair(tmp_path: Path, rng) -> Pair:
    """100 patients with one photograph each, every second one referable; scores of the two overlap."""
    ill = np.arange(100) % 2 == 0
    rows = pd.DataFrame({"image": [f"{at}.jpg" for at in range(100)], "sha256": [f"{at:064x}" for at in range(100)]})
    scores = np.where(ill, rng.uniform(0.3, 1, 100), rng.uniform(0, 0.5, 100)).round(4)
    write_table(rows.assign(p_referable=scores), tmp_path / "predictions.csv")
    write_table(rows.assign(grade=np.where(ill, 2, 0), patient=rows["image"]), tmp_path / "manifest.csv")
    return read_pair(tmp_path / "predictions.csv", tmp_path / "manifest.csv")


def with_columns(pair: Pair, **columns: object) -> Pair:
    write_table(pd.read_csv(pair.predictions).assign(**columns), pair.predictions)
    return read_pair(pair.predictions, pair.manifest)


def test_the_threshold_is_the_rank_of_the_referable_scores_that_the_terms_allow(pair):
    commissioning = commission_tables(pair, TERMS, day=DAY)

    scores = pair.rows.loc[pair.rows["grade"] == 2, "p_referable"].sort_values().to_numpy()
    result = commissioning.result
    assert result.guaranteed
    assert result.threshold == threshold_at(scores[result.rank - 1])
    assert (commissioning.flow.patients, commissioning.flow.referable) == (100, 50)
    protocol = commissioning.protocol
    assert (protocol["date"], protocol["basis"], protocol["data"]) == ("2031-02-03", UNCHECKED, pair.data)
    assert protocol["threshold"] == result.threshold
    assert protocol["seal"] == seal_of(protocol)
    assert protocol["expected"]["prevalence"] == 0.5


def test_the_prevalence_is_the_one_to_expect(pair):
    assert commission_tables(pair, TERMS, prevalence=0.07, day=DAY).protocol["expected"]["prevalence"] == 0.07


def test_of_a_release_the_patients_that_it_was_trained_on_are_refused_and_others_are_its_own(
    pair, write_tiny_release, tmp_path
):
    release = open_release(
        write_tiny_release(tmp_path / "release", training={"backbone": "tiny", "training_sha256": [f"{7:064x}"]})
    )
    signed = with_columns(pair, release=release.name)

    with pytest.raises(BadTable, match=r"did not learn from, got 1 photographs of patients that it did \(7\.jpg\)"):
        commission_tables(signed, TERMS, release=release, day=DAY)
    others = pd.read_csv(signed.predictions).drop(index=7)
    write_table(others, signed.predictions)
    protocol = commission_tables(
        read_pair(signed.predictions, signed.manifest), TERMS, release=release, day=DAY
    ).protocol
    assert (protocol["basis"], protocol["data"]["release"]) == (OWN, release.name)


def test_grades_give_no_threshold_for_a_release(pair, tiny_release):
    release = open_release(tiny_release)
    grades = pd.read_csv(pair.predictions).drop(columns="p_referable").assign(grade=2, release=release.name)
    write_table(grades, pair.predictions)
    graded = read_pair(pair.predictions, pair.manifest)

    assert commission_tables(graded, TERMS, day=DAY).protocol["threshold_chosen_on_these_data"] is False
    with pytest.raises(
        BadTable, match=r"expected scores \(p_referable\) to choose a threshold of tiny@.* got only grades"
    ):
        commission_tables(graded, TERMS, release=release, day=DAY)


def test_without_referable_patients_there_is_nothing_to_guarantee(pair):
    write_table(pd.read_csv(pair.manifest).assign(grade=1), pair.manifest)

    with pytest.raises(BadTable, match=r"expected referable patients \(grade 2 or above\), got none among 100\."):
        commission_tables(read_pair(pair.predictions, pair.manifest), TERMS, day=DAY)


@pytest.mark.parametrize("wanted", [0.1, 0.4, 0.6])
def test_the_copy_refers_on_regrading_whom_the_protocol_counted(tiny_release, retinas, tmp_path, wanted):
    """The table holds six decimals: the threshold that they give must find the unrounded score that set it."""
    release = open_release(tiny_release)
    manifest = pd.DataFrame({"image": list(map(str, retinas)), "patient": list("abcdef"), "grade": [2, 2, 2, 2, 2, 0]})
    write_table(manifest, tmp_path / "manifest.csv")
    grader, graded = graded_by(release, retinas)
    write_table(grader.frame(graded), tmp_path / "predictions.csv")
    site = read_pair(tmp_path / "predictions.csv", tmp_path / "manifest.csv")

    protocol = commission_tables(site, Terms(sensitivity=wanted, confidence=0.5), release=release, day=DAY).protocol
    copy = commission_release(release, tmp_path / "copy", protocol)

    _, rows = graded_by(copy, retinas)
    referred = [row["decision"] == "refer" for row in rows]
    assert sum(referred[:5]) == protocol["at_threshold"]["sensitivity"]["hits"]
    assert sum(referred) == protocol["at_threshold"]["referred"]


def graded_by(release: OpenRelease, photographs: list[Path]) -> tuple[Grader, list[dict[str, object]]]:
    grader = Grader.open(release.path)
    return grader, [grader.grade(path).row() for path in photographs]
