"""The five ICDR grades of diabetic retinopathy, and the few names that hang on them.

International Clinical Diabetic Retinopathy severity scale: Wilkinson et al., Ophthalmology 110
(2003) 1677-1682. This is the only module that knows which grade is referable.
"""

from __future__ import annotations

from typing import Final

GRADE_NAMES: Final = (
    "no retinopathy",
    "mild non-proliferative",
    "moderate non-proliferative",
    "severe non-proliferative",
    "proliferative",
)
"""What each grade 0 to 4 is called, in order."""

SHORT_GRADE_NAMES: Final = tuple(name.removesuffix(" non-proliferative") for name in GRADE_NAMES)
"""What each grade is called where there is little space, such as on a console of 80 columns."""

GRADES: Final = len(GRADE_NAMES)
"""How many grades there are."""

ANY_RETINOPATHY: Final = 1
"""The lowest grade with any retinopathy."""

REFERABLE: Final = 2
"""The lowest grade that is referred (more than mild)."""

SIGHT_THREATENING: Final = 3
"""The lowest grade that threatens sight."""

CUTS: Final = {"any": ANY_RETINOPATHY, "referable": REFERABLE, "sight_threatening": SIGHT_THREATENING}
"""The three yes-or-no questions asked of a grade: `grade >= CUTS[name]`."""

DME_NAMES: Final = ("none", "present", "referable")
"""Diabetic macular oedema: 0 none, 1 present, 2 referable or centre-involving."""

REFERABLE_DME: Final = 2
"""The lowest value of `dme` that is referred, and that threatens sight."""

OR_DME: Final = {"referable_or_dme": REFERABLE, "sight_threatening_or_dme": SIGHT_THREATENING}
"""The questions that count macular oedema, too: `grade >= OR_DME[name] or dme >= REFERABLE_DME`."""

REFER: Final = "refer"
CANNOT_GRADE_REFER: Final = "cannot grade, refer"
CANNOT_GRADE: Final = "cannot grade"
RESCREEN: Final = "rescreen"

DECISIONS: Final = (REFER, CANNOT_GRADE_REFER, CANNOT_GRADE, RESCREEN)
"""All answers there are to a photograph, an eye or a patient, most urgent first."""

GRADED_DECISIONS: Final = (REFER, RESCREEN)
"""The answers to what was graded."""

QUALITY_NAMES: Final = ("good", "usable", "reject")
"""Image quality classes as in EyeQ (Fu et al., MICCAI 2019)."""

EYES: Final = ("left", "right")
"""The values of the column `eye`."""

NOT_A_DEVICE: Final = (
    "Research software, not a medical device: its answers must not be used to diagnose or to decide on treatment."
)
"""Said wherever a grade is shown."""
