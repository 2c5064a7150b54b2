"""Whether an OCT scan can be read: a scan, whole, of a retina that stands out from the vitreous."""

from __future__ import annotations

from typing import Final

import numpy as np

from fundoscope.arrays import Photo, Scan
from fundoscope.photo.fov import Field, find_field
from fundoscope.photo.quality import Verdict
from fundoscope.photo.scans.retina import find_retina

MOST_COLOUR: Final = 10.0
"""Mean difference between the largest and the smallest of red, green and blue, in grey levels. At most 0.1 in the scans
of OCTDL (every sixth of its 2,064), at least 62 in the photographs of `examples/`."""

TINT: Final = (1.0, 0.55, 0.25)
"""Red, green and blue of a fundus: a grey picture is looked at in these colours, because a field of view is found by
them. So it is in all 12 photographs of `examples/` made grey, and in 1 of OCTDL's 2,064 scans."""

LEAST_LIGHT: Final = 6.0
"""Of the retina above the vitreous, in grey levels, below which there is no signal. OCTDL's scans have at least 8."""

LEAST_CONTRAST: Final = 1.5
"""The same in standard deviations of the vitreous' noise (`find_retina`), below which there is no retina to be seen.
OCTDL's scans have at least 2.0."""

GOOD_CONTRAST: Final = 4.0
"""Below it the signal is called weak."""

MOST_CUT_OFF: Final = 0.25
"""Largest share of columns in which the retina may leave the scan (`RetinaBand.cut_off`). With these bounds, which were
set on them, 5 of OCTDL's 2,064 scans are refused as cut off, none for want of a signal, and 3 are called weak."""

NO_RETINA: Final = "no retina to be seen in the scan"
CUT_OFF: Final = "the retina is cut off at the edge of the scan"
WEAK: Final = "the signal of the scan is weak"
NOT_A_SCAN: Final = (
    "not an OCT scan: expected a grey picture without a round field, got another. Export the scan alone."
)
"""Phrases of reasons, which `runtime.language` translates."""


def assess_scan(scan: Photo, *, field: Field | None) -> Verdict:
    """Return whether a scan can be read, and why not.

    Args:
        scan: 8-bit RGB, as every picture is read; a scan's three channels are alike.
        field: The round field of view that was found in the picture, which a scan has not.
    """
    grey = scan.max(axis=2)
    colour = float((grey.astype(np.int16) - scan.min(axis=2)).mean())
    if field is not None or colour > MOST_COLOUR or find_field(_tinted(grey)) is not None:
        return Verdict(False, "reject", NOT_A_SCAN, ("not_a_scan",))
    band = find_retina(grey)
    if band.light >= LEAST_LIGHT and band.cut_off > MOST_CUT_OFF:
        return Verdict(False, "reject", f"{CUT_OFF} (cut off {band.cut_off:.2f})", ("cut_off",))
    if band.light < LEAST_LIGHT:
        return Verdict(False, "reject", NO_RETINA, ("weak_signal",))
    if band.contrast < LEAST_CONTRAST:
        numbers = f"(contrast {band.contrast:.2f}, at least {LEAST_CONTRAST:.2f} needed)"
        return Verdict(False, "reject", f"{NO_RETINA} {numbers}", ("weak_signal",))
    if band.contrast < GOOD_CONTRAST:
        return Verdict(True, "usable", f"{WEAK} (contrast {band.contrast:.2f})")
    return Verdict(True, "good", "")


def _tinted(grey: Scan) -> Photo:
    return np.asarray(np.round(grey[..., None] * np.array(TINT)), np.uint8)
