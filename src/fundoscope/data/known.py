"""Which public set lies inside which, and which foundation model has seen which: data, each entry with its evidence.

Evidence is the address where it was read or counted, as far as there is one. What could not be confirmed is left
out, so a set that is not listed may overlap all the same: RET-CLIP's and DERETFound's pretraining photographs, for
example, are not listed by anything we could read. Names of sources are those of `data.imports`; some have no importer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import pandas as pd

from fundoscope.errors import BadRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Containment:
    """Photographs of one source that are also in another."""

    inner: str
    outer: str
    what: str
    """Which photographs of the inner source, in words."""
    count: int | None = None
    """How many; None: not counted."""
    matched_by: str
    """What the two have in common: name, publisher (it says so), or pixels."""
    evidence: str
    same_patients: bool = False
    """The two sources' patients bear the same names and are the same persons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretraining:
    """The public sources that a model was pretrained on, without labels or with them."""

    sources: tuple[str, ...]
    evidence: str


@dataclass(frozen=True, slots=True)
class Overlap:
    """A source whose photographs a model may have seen."""

    model: str
    source: str
    through: str
    """The source in the model's pretraining: this one, one inside it, or one around it."""
    evidence: str


_LISTS: Final = "https://github.com/chehx/DGDR/tree/74fe127/GDRBench/splits (counted in the published lists)"

CONTAINMENTS: Final = (
    Containment(
        inner="messidor",
        outer="messidor2",
        what="every pair of eyes of Messidor (529 examinations), re-encoded as PNG",
        count=1058,
        matched_by="publisher",
        evidence="https://www.adcis.net/en/third-party/messidor2/ (1,058 of the 1,200, not all as GDRBench's README "
        "says)",
    ),
    Containment(
        inner="rldr",
        outer="eyepacs",
        what="all of RLDR, cropped; 977 in EyePACS' train part, 616 in its test part",
        count=1593,
        matched_by="name",
        evidence=_LISTS,
        same_patients=True,
    ),
    Containment(
        inner="eyeq",
        outer="eyepacs",
        what="all of EyeQ: 12,543 of EyePACS' train part, 16,249 of its test part",
        count=28792,
        matched_by="publisher",
        evidence="https://github.com/HzFu/EyeQ (README)",
        same_patients=True,
    ),
    Containment(
        inner="rldr",
        outer="eyeq",
        what="the photographs of EyePACS that both chose",
        count=520,
        matched_by="name",
        evidence=f"https://github.com/HzFu/EyeQ/tree/48daee6/data against {_LISTS}",
        same_patients=True,
    ),
    Containment(
        inner="idrid_lesions",
        outer="idrid",
        what="most photographs of part A, under other names: 20 of the 23 that were compared, 19 in the grading part's "
        "train and IDRiD_09 in its test part",
        matched_by="pixels",
        evidence="extras.csv beside the photographs of part A (column same_photo_in_grading_set)",
    ),
    Containment(
        inner="aptos",
        outer="gdrbench",
        what="all labelled photographs",
        count=3662,
        matched_by="name",
        evidence=_LISTS,
    ),
    Containment(
        inner="deepdrid",
        outer="gdrbench",
        what="all regular photographs",
        count=2000,
        matched_by="name",
        evidence=_LISTS,
    ),
    Containment(
        inner="fgadr", outer="gdrbench", what="all of the Seg-set", count=1842, matched_by="name", evidence=_LISTS
    ),
    Containment(
        inner="idrid",
        outer="gdrbench",
        what="all of the grading part, train and crossval being its train and test; 81 base names mean two photographs",
        count=516,
        matched_by="name",
        evidence=_LISTS,
    ),
    Containment(
        inner="messidor2",
        outer="gdrbench",
        what="the gradable photographs",
        count=1744,
        matched_by="name",
        evidence=_LISTS,
    ),
    Containment(
        inner="messidor",
        outer="gdrbench",
        what="those of Messidor that are in Messidor-2",
        matched_by="publisher",
        evidence="https://www.adcis.net/en/third-party/messidor2/ and https://github.com/chehx/DGDR (README)",
    ),
    Containment(inner="rldr", outer="gdrbench", what="all of RLDR", count=1593, matched_by="name", evidence=_LISTS),
    Containment(
        inner="ddr", outer="gdrbench", what="the gradable photographs", count=12521, matched_by="name", evidence=_LISTS
    ),
    Containment(
        inner="eyepacs",
        outer="gdrbench",
        what="all but 5, RLDR's photographs among them although the README orders their removal",
        count=88697,
        matched_by="name",
        evidence=_LISTS,
    ),
    Containment(
        inner="eyeq",
        outer="gdrbench",
        what="all but 2, listed for EYEPACS",
        count=28790,
        matched_by="name",
        evidence=f"https://github.com/HzFu/EyeQ/tree/48daee6/data against {_LISTS}",
    ),
)
"""Every containment that is known. No public set is known to lie in BRSET or mBRSET, nor they in another."""

PRETRAINED_ON: Final = {
    "retfound_mae_cfp": Pretraining(
        sources=("eyepacs",),
        evidence="https://www.nature.com/articles/s41586-023-06555-x (88,702 of its 904,170 photographs are Kaggle "
        "EyePACS; the others are Moorfields' own)",
    ),
    "retfound_green": Pretraining(
        sources=("airogs", "ddr", "odir"),
        evidence="https://github.com/justinengelmann/RETFound_Green/blob/bddfb9a/Training_and_eval_code/"
        "data_preprocessing_splits_and_subsamples/select_image_subset.py (all of DDR and ODIR, a draw of AIROGS)",
    ),
    "flair": Pretraining(
        sources=(
            *("eyepacs", "idrid", "idrid_lesions", "rfmid", "jsiec", "deepeyenet", "lag", "odir", "papila", "paraguay"),
            *(
                "stare",
                "aria",
                "agar300",
                "aptos",
                "fund_oct",
                "diaretdb1",
                "drions",
                "drishti_gs",
                "e_ophtha",
                "g1020",
            ),
            *("hrf", "origa", "roc", "brset", "ddr", "airogs", "sustech", "jichi", "chaksu", "dr1_dr2", "cataract"),
            *("scardat",),
        ),
        evidence="https://github.com/jusiro/FLAIR/blob/d6652d5/main_pretrain.py (default of --datasets) and "
        "local_data/prepare_partitions.py (of IDRiD the training sets of parts A and B)",
    ),
    "clementp_eyepacs": Pretraining(
        sources=("eyepacs",),
        evidence="https://huggingface.co/models?search=ClementP/FundusDRGrading (trained on EyePACS' grades)",
    ),
}
"""Foundation models and published weights by name, as far as their public photographs are known."""


def contained(sources: Iterable[str]) -> tuple[Containment, ...]:
    """Return the known containments of which both sides are among the sources, in the order of `CONTAINMENTS`."""
    names = set(sources)
    return tuple(containment for containment in CONTAINMENTS if {containment.inner, containment.outer} <= names)


def pretraining_overlap(model: str, sources: Iterable[str]) -> tuple[Overlap, ...]:
    """Find sources that the model may have been pretrained on, directly or through a set inside or around theirs.

    Raises:
        BadRequest: If nothing is known of the model; an empty answer means that no overlap is known.
    """
    if model not in PRETRAINED_ON:
        raise BadRequest(
            f"{model}: expected one of {', '.join(PRETRAINED_ON)}, whose pretraining is known; nothing is known of "
            "this one. Ask its authors which public photographs it was pretrained on."
        )
    pretraining = PRETRAINED_ON[model]
    overlaps = []
    for source in sorted(set(sources)):
        around = [(one.outer, one.evidence) for one in CONTAINMENTS if one.inner == source]
        inside = [(one.inner, one.evidence) for one in CONTAINMENTS if one.outer == source]
        ways = [(source, ""), *around, *inside]
        through = next(((name, why) for name, why in ways if name in pretraining.sources), None)
        if through is not None:
            name, why = through
            overlaps.append(Overlap(model, source, name, "; ".join(filter(None, (pretraining.evidence, why)))))
    return tuple(overlaps)


def eyepacs_eye(name: str) -> tuple[str | None, str | None]:
    """Read patient and eye from a name of EyePACS (`10009_left.jpeg`, folders and suffix or not), else blanks."""
    match = re.fullmatch(r"(\d+)_(left|right)", _stem(name))
    return (match[1], match[2]) if match else (None, None)


def rldr_names_in_eyepacs(eyepacs: pd.DataFrame, rldr: pd.DataFrame) -> tuple[str, ...]:
    """Return the base names (`10009_left`) that two manifests share, sorted.

    EyeQ, or the two domains of GDRBench that come from EyePACS, may be asked likewise.

    Args:
        eyepacs: A manifest whose column `image` carries EyePACS' names, whatever the folders and suffixes.
        rldr: Another one.
    """
    names = [
        {stem for stem in map(_stem, frame["image"].astype(str)) if eyepacs_eye(stem)[0] is not None}
        for frame in (eyepacs, rldr)
    ]
    return tuple(sorted(names[0] & names[1]))


def _stem(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2].partition(".")[0]
