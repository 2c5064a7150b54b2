"""Commission a system at a site, from its table of predictions and a manifest of locally graded patients."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from fundoscope.clinic.commissioning.cohort import Flow, answers_of, patients_of
from fundoscope.clinic.commissioning.commission import CommissioningResult, Terms, commission
from fundoscope.clinic.commissioning.protocol import protocol_of
from fundoscope.clinic.commissioning.provenance import UNCHECKED, held_against
from fundoscope.clinic.commissioning.site import used_dust_map
from fundoscope.errors import BadTable
from fundoscope.runtime.release import OpenRelease
from fundoscope.tables.pair import Pair


@dataclass(frozen=True, slots=True)
class Commissioning:
    """What a site's patients say of the terms."""

    result: CommissioningResult
    flow: Flow
    """How many patients came, and what became of them."""
    protocol: dict[str, Any]
    """Everything that was asked, given and found, as JSON, sealed: see `protocol.protocol_of`."""


def commission_tables(
    pair: Pair,
    terms: Terms,
    *,
    release: OpenRelease | None = None,
    prevalence: float | None = None,
    oedema: bool = False,
    day: date,
) -> Commissioning:
    """Choose the threshold whose sensitivity is guaranteed, or find that these patients cannot guarantee one.

    Args:
        pair: Predictions beside the site's manifest, of `tables.pair.read_pair`.
        terms: What is to be guaranteed.
        release: The release that made the predictions: patients that it was trained on are refused. None: another
            system, of which that is not known.
        prevalence: Share of referable patients to expect, in (0, 1); None: that of these patients.
        oedema: Referable macular oedema (`dme` 2) counts as referable, whatever the grade.
        day: Of the commissioning.

    Raises:
        BadTable: If the predictions are not the release's, were made with several dust maps, are of patients that it
            was trained on, give no scores, or no patient is referable.
    """
    rows, basis = pair.rows, UNCHECKED
    if release is not None:
        rows, basis = held_against(rows, pair.listed, release, path=pair.predictions)
    answers = answers_of(rows, grade_refers=release is not None)
    if release is not None and answers.fixed is not None:
        raise BadTable(
            f"{pair.predictions}: expected scores (p_referable) to choose a threshold of {release.name} by, got only "
            "grades. Give the table as the release wrote it, or leave --release out."
        )
    patients, flow = patients_of(rows, answers, oedema=oedema)
    if not flow.referable:
        raise BadTable(
            f"{pair.manifest}: expected referable patients (grade 2 or above), got none among {flow.patients}. "
            "A sensitivity can only be estimated on patients who have the disease: add some."
        )
    data = pair.data if release is None else pair.data | {"release": release.name}
    dust = used_dust_map(pair.rows, pair.predictions)
    result = commission(patients, terms, fixed=answers.fixed, prevalence=prevalence)
    protocol = protocol_of(
        result,
        flow,
        data=data if dust is None else data | {"dust_map": dust},
        answers=answers,
        basis=basis,
        oedema=oedema,
        day=day,
    )
    return Commissioning(result, flow, protocol)
