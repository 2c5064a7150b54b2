"""What a release may say of what it was made from: its training data, the licences that bind it, what was not tested.

Every claim follows from the rows that were learnt from, the public sets that they name, and the weights that training
started from. What is not known is said to be unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import pandas as pd

from fundoscope.data.imports import SOURCES
from fundoscope.data.licences import Terms, terms_of
from fundoscope.errors import BadRequest
from fundoscope.tables.patients import patient_keys
from fundoscope.training.batches.targets import Target
from fundoscope.training.experiment.schema import Experiment

OWN_LICENCE: Final = "Apache-2.0"
"""Licence of a release that nothing it was made from narrows: this project's own."""

NO_SOURCE: Final = "photographs without a source"

HEATMAP_LIMIT: Final = "A heatmap shows what moved the answer, not where lesions are."
"""Of a release that shows a heatmap."""

NO_HEATMAP_LIMIT: Final = "It shows no heatmap of what moved the answer."
"""Of a release that shows none."""

FELLOW_LIMIT: Final = (
    "It grades an eye together with the same patient's other eye. Where no photograph of that is known, or it cannot "
    "be read or is not gradable, a learnt vector stands in for it and the photograph's row says so; how much less sure "
    "such an answer is was not measured."
)
"""Of a release that grades both eyes together."""

CHOSEN_LIMIT: Final = (
    "The epoch to stop at was chosen on the photographs that calibration and thresholds were set on: on new patients "
    "they promise a little less."
)
"""Of a release whose weights were chosen by validation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Something that a release was made from, and its licence."""

    what: str
    licence: str
    """As its publisher states it; empty: not known."""

    def __str__(self) -> str:
        return f"{self.what} ({self.licence})" if self.licence else self.what


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSource:
    """The photographs of one source that a release learnt from."""

    name: str
    title: str
    """As published; empty: no public set is known by the name."""
    citation: str
    licences: tuple[str, ...]
    """Of photographs and labels, then of annotations that were learnt from; empty texts: not known."""
    photographs: int
    patients: int | None
    """None: the manifest names no patients of this source."""
    labels: dict[str, int] = field(default_factory=dict)
    """Photographs of each grade or class, or with each sign."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as `release.json` holds it."""
        return asdict(self) | {"licences": list(self.licences)}


def training_sources(rows: pd.DataFrame, target: Target, experiment: Experiment) -> list[TrainingSource]:
    """Describe what was learnt from, by source.

    Args:
        rows: The manifest's rows that were learnt from.
        target: What was learnt of each.
        experiment: Says which annotations were learnt from beside it.
    """
    names = rows["source"].fillna("").astype(str) if "source" in rows else pd.Series("", index=rows.index)
    return [_source(name, rows[names == name], target, experiment) for name in sorted(set(names))]


def origins(
    sources: Sequence[TrainingSource], experiment: Experiment, teachers: Sequence[Mapping[str, Any]] = ()
) -> list[Origin]:
    """Return everything whose licence binds a release: its training data and what training started from.

    Args:
        sources: Its training data, which is also that of its teachers.
        experiment: Says what training started from.
        teachers: Records of the runs that it learnt from (`runs.teachers.teacher_records`).
    """
    data = [Origin(what=source.name, licence=licence) for source in sources for licence in source.licences]
    network = experiment.network
    if network.weights:
        data.append(Origin(what=f"the starting weights of {network.backbone}", licence=network.weights_licence))
    if network.prototypes:
        data.append(Origin(what="the starting prototypes", licence=""))
    data += [
        Origin(what=f"the starting weights of the teacher {record['backbone']}", licence=record["weights_licence"])
        for record in teachers
        if record["started_from_weights"]
    ]
    return data


def licence_claim(made_from: Sequence[Origin], *, wanted: str = "") -> str:
    """Return the licence of a release: what all that it was made from allows, or a narrower one.

    Args:
        made_from: What binds it.
        wanted: The experiment's `release.licence`; empty: none.

    Raises:
        BadRequest: If the wanted licence is not recognised, or wider than what the release was made from allows.
    """
    unknown = [origin for origin in made_from if terms_of(origin.licence) is Terms.UNKNOWN]
    stated = [origin for origin in made_from if terms_of(origin.licence) is not Terms.UNKNOWN]
    bound = max((terms_of(origin.licence) for origin in stated), default=Terms.OPEN)
    binding = ", ".join(dict.fromkeys(str(origin) for origin in stated if terms_of(origin.licence) is bound))
    if wanted and not bound <= terms_of(wanted) < Terms.UNKNOWN:
        raise BadRequest(
            f"release.licence: expected a known licence that is no wider than {binding or OWN_LICENCE}, got "
            f"{wanted!r}. Leave release.licence out, or narrow it"
        )
    words = {
        Terms.OPEN: OWN_LICENCE,
        Terms.SHARE_ALIKE: f"share-alike, by the terms of {binding}",
        Terms.NON_COMMERCIAL: f"non-commercial use only, by the terms of {binding}",
        Terms.RESTRICTED: f"restricted by the terms of {binding}",
    }
    claim = wanted or words[bound]
    if not unknown:
        return claim
    names = ", ".join(dict.fromkeys(origin.what for origin in unknown))
    return f"unknown: no licence is known of {names}; otherwise {claim}"


def data_limits(sources: Sequence[TrainingSource], rows: pd.DataFrame, *, left_out: int = 0) -> list[str]:
    """Return what follows from the training data for whoever uses the release, as sentences.

    Args:
        sources: Of the rows.
        rows: What was learnt from, as the run recorded it.
        left_out: Photographs that were not used, for the release would not grade them.
    """
    photographs = sum(source.photographs for source in sources)
    names = ", ".join(source.name for source in sources)
    number = "1 source" if len(sources) == 1 else f"{len(sources)} sources"
    cameras = sorted({str(name) for name in rows["camera"].dropna()}) if "camera" in rows else []
    of_cameras = f", taken with {', '.join(cameras)}" if cameras else ""
    limits = [
        f"Trained on {photographs} photographs of {number} ({names}){of_cameras}; other cameras, populations and pupil "
        "sizes are untested."
    ]
    if nameless := [source.name for source in sources if source.patients is None]:
        limits.append(
            f"The patients of {', '.join(nameless)} are unknown: photographs of one patient may be on both sides of a "
            "division into folds or splits, and figures measured on it too good."
        )
    ungradable = int(rows["ungradable"].notna().sum()) if "ungradable" in rows else 0
    if ungradable:
        limits.append(
            f"{ungradable} of the {photographs} photographs that it was trained on are not gradable by its own quality "
            "gate (data.keep_ungradable): it grades no photographs like them, but was calibrated with them."
        )
    if left_out:
        limits.append(
            f"{left_out} photographs of its data were left out of training and calibration because its quality gate "
            "refuses them: it grades no photographs like them, and no figure of it covers them."
        )
    return limits


def network_limits(experiment: Experiment, *, heatmap: str) -> list[str]:
    """Return what follows from the network and how it was trained, as sentences.

    Args:
        experiment: The experiment of the run.
        heatmap: The method of the exported heatmap, or none.
    """
    limits = [NO_HEATMAP_LIMIT if heatmap == "none" else HEATMAP_LIMIT]
    if experiment.network.eyes == 2:
        limits.append(FELLOW_LIMIT)
    if experiment.fit.keep == "best" or experiment.fit.patience:
        limits.append(CHOSEN_LIMIT)
    return limits


def _source(name: str, rows: pd.DataFrame, target: Target, experiment: Experiment) -> TrainingSource:
    public = SOURCES.get(name)
    published = public.licence if public else ""
    stated = (
        rows["licence"].fillna("").astype(str).str.strip() if "licence" in rows else pd.Series("", index=rows.index)
    )
    licences = sorted(set(stated.where(stated != "", published)))
    if public and experiment.lesions.weight > 0:
        licences += [
            text for column, text in public.annotations.items() if column in rows and rows[column].notna().any()
        ]
    named = "patient" in rows and rows["patient"].notna().any()
    return TrainingSource(
        name=name or NO_SOURCE,
        title=public.title if public else "",
        citation=public.citation if public else "",
        licences=tuple(dict.fromkeys(licences)),
        photographs=len(rows),
        patients=len(set(patient_keys(rows))) if named else None,
        labels=_label_counts(rows, target),
    )


def _label_counts(rows: pd.DataFrame, target: Target) -> dict[str, int]:
    """Count the photographs of each grade or class, or with each sign (which leaves out those it is unknown of)."""
    if target.kind == "signs":
        return {sign: int((pd.to_numeric(rows[sign], errors="coerce") == 1).sum()) for sign in target.labels}
    values = target.values(rows)
    names = target.labels or tuple(map(str, range(target.outputs)))
    return {label: int((values == number).sum()) for number, label in enumerate(names)}
