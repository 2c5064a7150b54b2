"""Who a photograph is of: the key by which photographs are kept together."""

from __future__ import annotations

import pandas as pd

PatientKey = tuple[str, str, str]
"""Kind of name ("patient" or "photograph"), source and name."""


def patient_keys(frame: pd.DataFrame) -> list[PatientKey]:
    """Who each photograph is of: kind of name, source and name.

    Patients of two sources are two patients, even if they are named alike. Where the patient is
    blank, the photograph's own hash (else its path) stands for one.
    """

    def column(name: str) -> list[str | None]:
        values = frame[name].tolist() if name in frame else [None] * len(frame)
        return [None if pd.isna(value) else str(value) for value in values]

    rows = zip(column("source"), column("patient"), column("sha256"), column("image"), strict=True)
    return [
        ("patient", source or "", patient) if patient is not None else ("photograph", "", sha256 or image or "")
        for source, patient, sha256, image in rows
    ]
