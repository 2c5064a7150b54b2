"""The codes of DICOM and FHIR: one table, so that the two can never disagree.

Codes are (value, scheme, meaning); the schemes are LOINC (LN), SNOMED CT (SCT), DICOM (DCM) and UMLS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from fundoscope.grades import CANNOT_GRADE, CANNOT_GRADE_REFER
from fundoscope.runtime.answers import EyeAnswer
from fundoscope.runtime.tasks.task import Row, is_blank

Triple = tuple[str, str, str]
"""Value, coding scheme and meaning of a code."""

PROFILE: Final = ("113100", "DCM", "Basic Application Confidentiality Profile")
MEASUREMENT_REPORT: Final = ("126000", "DCM", "Imaging Measurement Report")
IMAGING_PROCEDURE: Final = ("363679005", "SCT", "Imaging procedure")
"""Of CID 100: TID 1500 takes no procedure from elsewhere."""
DEVICE: Final = ("121007", "DCM", "Device")
ARTIFICIAL_INTELLIGENCE: Final = ("123110", "DCM", "Artificial Intelligence")
QUALITATIVE_EVALUATIONS: Final = ("C0034375", "UMLS", "Qualitative Evaluations")
CONCLUSION: Final = ("121077", "DCM", "Conclusion")
COMMENT: Final = ("121106", "DCM", "Comment")
RECOMMENDATION: Final = ("121075", "DCM", "Recommendation")
FOLLOW_UP_INTERVAL: Final = ("111055", "DCM", "Recommended Follow-up Interval")
PROBABILITY: Final = ("122157", "DCM", "Probability")
OPERATING_POINT: Final = ("111071", "DCM", "CAD Operating Point")
OPERATING_POINT_DESCRIPTION: Final = ("111081", "DCM", "CAD Operating Point Description")
QUALITY_ASSESSMENT: Final = ("111050", "DCM", "Quality Assessment")
QUALITY_FINDING: Final = ("111052", "DCM", "Quality Finding")
UNUSABLE: Final = ("111235", "DCM", "Unusable - Quality renders image unusable")
INSUFFICIENT_QUALITY: Final = ("110531", "DCM", "Insufficient quality for interpretation")
NOT_DONE: Final = ("373121007", "SCT", "Test not done")
SEVERITY: Final = ("246112005", "SCT", "Severity")
VISUAL_EXPLANATION: Final = ("130401", "DCM", "Visual explanation")
METHOD: Final = ("370129005", "SCT", "Measurement Method")
RETINA: Final = ("5665001", "SCT", "Retina")
IMAGE_LIBRARY: Final = ("111028", "DCM", "Image Library")
IMAGE_LATERALITY: Final = ("111027", "DCM", "Image Laterality")
SIDES: Final[Mapping[str, Triple]] = {"right": ("24028007", "SCT", "Right"), "left": ("7771000", "SCT", "Left")}

QUALITIES: Final[Mapping[str, Triple]] = {
    "good": ("111237", "DCM", "Usable - Meets the quality control standard"),
    "usable": ("111236", "DCM", "Usable - Does not meet the quality control standard"),
    "reject": UNUSABLE,
}
"""By `grades.QUALITY_NAMES`."""

METHODS: Final[Mapping[str, Triple]] = {
    "grad-cam": ("130403", "DCM", "Gradient-weighted class activation"),
    "grad-cam++": ("130403", "DCM", "Gradient-weighted class activation"),
}
"""By `runnable.HEATMAPS`; the others have no code in CID 217."""

NO_RETINOPATHY: Final = ("LA18643-9", "LN", "No apparent retinopathy")
"""SNOMED CT has no disorder that is none."""

IMAGING_REPORT: Final = ("18748-4", "LN", "Diagnostic imaging study")

ANSWERS: Final = (
    NO_RETINOPATHY,
    ("LA18644-7", "LN", "Mild non-proliferative retinopathy"),
    ("LA18645-4", "LN", "Moderate non-proliferative retinopathy"),
    ("LA18646-2", "LN", "Severe non-proliferative retinopathy"),
    ("LA18648-8", "LN", "Proliferative retinopathy"),
)
"""LOINC's answers to `ASKED`, by grade."""

ASKED: Final[Mapping[str, Triple]] = {
    "left": ("71490-7", "LN", "Left eye Diabetic retinopathy severity level by Ophthalmoscopy"),
    "right": ("71491-5", "LN", "Right eye Diabetic retinopathy severity level by Ophthalmoscopy"),
}

_NAMES: Final = ("Mild nonproliferative", "Moderate nonproliferative", "Severe nonproliferative", "Proliferative")

_VALUES: Final[Mapping[str | None, tuple[str, ...]]] = {
    None: ("312903003", "312904009", "312905005", "59276001"),
    "right": ("769183005", "769185003", "769187006", "770765001"),
    "left": ("769184004", "769186002", "769188001", "770766000"),
}
"""Grades 1 to 4 in SNOMED CT, by eye."""


def severity(eye: str | None) -> Triple:
    """Return the question that a grade answers, by eye."""
    return SEVERITY if eye is None else ASKED[eye]


def grade_code(grade: int, eye: str | None) -> Triple:
    """Return the code of a grade of an eye, or of one whose side is not known."""
    if grade == 0:
        return NO_RETINOPATHY
    side = "" if eye is None else f" of {eye} eye"
    return _VALUES[eye][grade - 1], "SCT", f"{_NAMES[grade - 1]} diabetic retinopathy{side}"


def published_name(code: Triple) -> str:
    """Return a code's name as its scheme publishes it; meanings are shorter, as DICOM takes 64 letters at most."""
    value, _, meaning = code
    return _PUBLISHED.get(value, meaning)


_PUBLISHED: Final = {
    value: f"{name} retinopathy{'' if eye is None else f' of {eye} eye'} due to diabetes mellitus"
    for eye, values in _VALUES.items()
    for value, name in zip(values, _NAMES, strict=True)
}


def grade_of(eye: EyeAnswer, rows: Sequence[Row]) -> int | None:
    """Return the worst grade of an eye's photographs; None where the eye's answer is that it cannot be graded."""
    if eye.decision in (CANNOT_GRADE, CANNOT_GRADE_REFER):
        return None
    grades = [rows[number]["grade"] for number in eye.photographs]
    return max((int(grade) for grade in grades if not is_blank(grade)), default=None)
