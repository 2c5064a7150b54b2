"""Train on some sources and test on others: leave-one-source-out, and single-source generalisation.

The protocols of GDRBench (Che et al., MICCAI 2023, arXiv 2307.04378), called DG and ESDG there, with what its lists
get wrong put right: the photographs of RLDR, which are EyePACS', are taken out of EyePACS, and no patient, file or
group of duplicates that is tested on is trained or validated on. Nothing is ever moved to another side; what cannot
stay is left out, and the column `left_out` says why.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Any, Final, Literal

import pandas as pd

from fundoscope.data.known import rldr_names_in_eyepacs
from fundoscope.data.split import position, units_of
from fundoscope.errors import BadRequest

VAL_SHARE: Final = 0.2
"""Share of the units for validation, in a source that brings no validation side of its own."""

NOT_TRAINED: Final = "its source is neither trained nor tested on"
IN_RLDR: Final = "EyePACS' copy of a photograph of RLDR"
OWN_TEST: Final = "its source's own test side"
UNPLACED: Final = "its source names no side for it"
TESTED: Final = "its patient or a duplicate is tested on"
VALIDATED: Final = "its patient or a duplicate is validated on"
TRAINED: Final = "its patient or a duplicate is trained or validated on"

Side = Literal["train", "test"]

_YIELDS: Final = {
    "train": ((("train", "val"), ("test",), TESTED), (("train",), ("val",), VALIDATED)),
    "test": ((("test",), ("train", "val"), TRAINED), (("train",), ("val",), VALIDATED)),
}
"""By the side that units are dropped from: which sides give way to which, one after the other, and the reason."""


def leave_one_out(
    frame: pd.DataFrame,
    target: str,
    *,
    by: str = "source",
    never_train: Collection[str] = (),
    drop_from: Side = "train",
    val_share: float = VAL_SHARE,
    salt: str = "",
) -> pd.DataFrame:
    """Train and validate on every source but one, test on all of that one (GDRBench's DG).

    A training source's own `split` is kept, its own test side left out; where it has no validation side, units of its
    training side become one by hash, and where it has no sides at all, its units are divided by hash.
    GDRBench never trains on DDR and EyePACS: name them in `never_train` to follow it.

    Args:
        frame: A checked manifest of all sources; `split` as the sources publish it.
        target: The source to test on.
        by: The column that names the sources; `domain` for GDRBench's own lists.
        never_train: Sources that are left out altogether.
        drop_from: From which side a unit is taken that has photographs on both: train (and validation), or test.
        val_share: Share of the units for validation where a source has no validation side.
        salt: Any text; each gives another hash-based split.

    Returns:
        A copy with `split` filled, and `left_out`: why a row is on no side, else blank.

    Raises:
        BadRequest: If a source is not in the manifest, the manifest was divided so before, or nothing is left to
            train on or to test on.
    """
    names = _names(frame, by, {target, *never_train})
    train = names - {target} - set(never_train)
    return _divided(frame, by, train, {target}, drop_from=drop_from, val_share=val_share, salt=salt)


def train_only(
    frame: pd.DataFrame,
    source: str,
    *,
    by: str = "source",
    drop_from: Side = "train",
    val_share: float = VAL_SHARE,
    salt: str = "",
) -> pd.DataFrame:
    """Train and validate on one source, test on all of every other one (GDRBench's ESDG).

    Args, returns and errors as `leave_one_out`; with RLDR as the source and EyePACS among the others,
    `drop_from="test"` keeps RLDR whole: nearly all its patients' other eyes are in EyePACS.
    """
    names = _names(frame, by, {source})
    return _divided(frame, by, {source}, names - {source}, drop_from=drop_from, val_share=val_share, salt=salt)


def _names(frame: pd.DataFrame, by: str, requested: set[str]) -> set[str]:
    """Return the sources in the manifest, after checking that the requested ones are among them."""
    if "left_out" in frame:
        raise BadRequest(
            "manifest: expected each source's own split, got one that a protocol has divided (it has a column "
            "left_out). Name the manifest that this one was made from."
        )
    names = {str(name) for name in frame[by].dropna()} if by in frame else set()
    if len(names) < 2 or not requested <= names:
        raise BadRequest(
            f"manifest: expected at least two sources in the column {by}, and {', '.join(sorted(requested))} among "
            f"them, got {', '.join(sorted(names)) or 'none'}. Concatenate the sources' manifests, name one of them, or "
            "say which column names them."
        )
    return names


def _divided(
    frame: pd.DataFrame, by: str, train: set[str], test: set[str], *, drop_from: Side, val_share: float, salt: str
) -> pd.DataFrame:
    if drop_from not in _YIELDS:
        raise ValueError(f"drop_from must be train or test, got {drop_from!r}")
    if not 0 <= val_share < 1:
        raise ValueError(f"val_share must be at least 0 and below 1, got {val_share}")
    plan = pd.DataFrame({"source": frame[by].astype(object), "side": None, "why": NOT_TRAINED}, dtype=object)
    plan["unit"] = pd.Series(units_of(frame), index=frame.index, dtype=object)
    plan["given"] = frame["split"].astype(object) if "split" in frame else None
    plan.loc[plan["source"].isin(test), "side"] = "test"
    for source in sorted(train):
        _keep_own_sides(plan, plan["source"] == source, val_share, salt)
    _leave_out(plan, _rldr_copies(frame, plan["source"]), IN_RLDR)
    for leaving, staying, reason in _YIELDS[drop_from]:
        kept = set(plan.loc[plan["side"].isin(staying), "unit"])
        _leave_out(plan, plan["side"].isin(leaving) & plan["unit"].isin(kept), reason)
    for side, sources in (("train", train), ("test", test)):
        if not (plan["side"] == side).any():
            raise BadRequest(
                f"{', '.join(sorted(sources))}: expected photographs to {side} on, got none that can stay: those there "
                "are share patients or files with the other side. Drop these from the other side, or choose others."
            )
    return frame.assign(split=plan["side"], left_out=plan["why"].where(plan["side"].isna(), None))


def _keep_own_sides(plan: pd.DataFrame, mine: pd.Series[bool], val_share: float, salt: str) -> None:
    """Give a training source's rows the sides it publishes, and a validation side by hash where it has none."""
    published = [None if pd.isna(name) else str(name) for name in plan.loc[mine, "given"]]
    splits = [name if name in ("train", "val") else None for name in published]
    if not any(published):
        splits = ["train"] * len(published)
    if "val" not in splits:
        low = [position(unit, purpose="protocol", salt=salt) < val_share for unit in plan.loc[mine, "unit"]]
        splits = ["val" if name == "train" and is_low else name for name, is_low in zip(splits, low, strict=True)]
    plan.loc[mine, "side"] = pd.Series(splits, index=plan.index[mine], dtype=object)
    plan.loc[mine, "why"] = [OWN_TEST if name == "test" else UNPLACED for name in published]


def _leave_out(plan: pd.DataFrame, rows: pd.Series[bool], reason: str) -> None:
    plan.loc[rows, "side"] = None
    plan.loc[rows, "why"] = reason


def _rldr_copies(frame: pd.DataFrame, sources: pd.Series[Any]) -> pd.Series[bool]:
    """Mark EyePACS' photographs that RLDR, if it is there too, graded again."""
    name = sources.astype(str).str.lower()
    shared = set(rldr_names_in_eyepacs(frame[name == "eyepacs"], frame[name == "rldr"]))
    stems = pd.Series([PurePosixPath(str(image)).stem for image in frame["image"]], index=frame.index)
    return (name == "eyepacs") & stems.isin(shared)
