from __future__ import annotations

import pytest

from fundoscope.data.imports import SOURCES
from fundoscope.data.licences import Terms, terms_of

NOT_OPEN = {
    "aptos": Terms.RESTRICTED,
    "brset": Terms.RESTRICTED,
    "eyepacs": Terms.RESTRICTED,
    "eyeq": Terms.NON_COMMERCIAL,
    "fgadr": Terms.RESTRICTED,
    "mbrset": Terms.RESTRICTED,
    "messidor": Terms.RESTRICTED,
    "messidor2": Terms.RESTRICTED,
    "octid": Terms.RESTRICTED,
    "retouch": Terms.RESTRICTED,
    "rldr": Terms.RESTRICTED,
    "ddr": Terms.UNKNOWN,
    "deepdrid": Terms.UNKNOWN,
    "gdrbench": Terms.UNKNOWN,
    "odir": Terms.UNKNOWN,
}


@pytest.mark.parametrize(
    ("licence", "terms"),
    [
        ("CC BY 4.0", Terms.OPEN),
        ("CC-BY-4.0", Terms.OPEN),
        ("CC0", Terms.OPEN),
        ("Apache-2.0", Terms.OPEN),
        ("MIT", Terms.OPEN),
        ("CC BY-SA 4.0", Terms.SHARE_ALIKE),
        ("GPL-3.0", Terms.SHARE_ALIKE),
        ("CC BY-NC 4.0", Terms.NON_COMMERCIAL),
        ("CC-BY-NC-SA-4.0", Terms.NON_COMMERCIAL),
        ("noncommercial research use", Terms.RESTRICTED),
        ("research and education only, no redistribution", Terms.RESTRICTED),
        ("all rights reserved", Terms.RESTRICTED),
        ("", Terms.UNKNOWN),
        ("as its page says", Terms.UNKNOWN),
        ("see the publisher's page", Terms.UNKNOWN),
        ("Sankt", Terms.UNKNOWN),
        ("Apache License, Version 2.0", Terms.OPEN),
        ("BSD-3-Clause", Terms.OPEN),
        ("CC BY-ND 4.0", Terms.RESTRICTED),
        ("CC BY 4.0, research purposes only", Terms.RESTRICTED),
        ("for academic use", Terms.RESTRICTED),
        ("CC BY 4.0, not for commercial use", Terms.NON_COMMERCIAL),
        ("CC BY 4.0 (non commercial)", Terms.NON_COMMERCIAL),
        ("ODbL 1.0", Terms.SHARE_ALIKE),
        ("LGPL-3.0", Terms.SHARE_ALIKE),
        ("CC BY 4.0 unless the clinic says otherwise", Terms.UNKNOWN),
        ("mit Genehmigung der Klinik", Terms.UNKNOWN),
        ("copyright MIT", Terms.UNKNOWN),
    ],
)
def test_a_licence_is_read_by_the_strictest_terms_it_names(licence: str, terms: Terms):
    assert terms_of(licence) is terms


@pytest.mark.parametrize(("name", "terms"), NOT_OPEN.items())
def test_sets_that_may_not_be_passed_on_are_known_as_such(name: str, terms: Terms):
    assert terms_of(SOURCES[name].licence) is terms


@pytest.mark.parametrize("name", ["idrid", "idrid_lesions", "octdl", "kermany", "rfmid", "sustech"])
def test_sets_under_cc_by_are_open(name: str):
    assert terms_of(SOURCES[name].licence) is Terms.OPEN
