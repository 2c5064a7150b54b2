"""A site's folder is of one release and one map; what it does not cover is said or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from fundoscope.clinic.commissioning.protocol import to_json
from fundoscope.clinic.commissioning.site import (
    Site,
    check_site,
    dust_of_site,
    dust_words,
    open_site,
    shots_of,
    used_dust_map,
)
from fundoscope.errors import BadRelease, BadRequest, BadTable
from fundoscope.photo.artefacts.dust_map import DustMap, read_dust_map, write_dust_map
from fundoscope.photo.artefacts.make import Shot, make_dust_map
from fundoscope.records import seal_of
from fundoscope.runtime.release import open_release


@pytest.fixture(scope="module")
def dust_map(dusty_photographs) -> DustMap:
    return make_dust_map([Shot(path=path) for path in dusty_photographs])


@pytest.fixture(scope="module")
def opened(tiny_release):
    return open_release(tiny_release)


def protocol_for(release: str | None, *, dust: str | None = None, guaranteed: bool = True) -> dict[str, object]:
    """What `check_site` reads of a protocol, sealed."""
    names = {"release": release, "dust_map": dust}
    data = {name: value for name, value in names.items() if value is not None}
    written = {"schema": 1, "data": data, "guaranteed": guaranteed, "threshold": 0.25}
    return written | {"seal": seal_of(written)}


def test_a_folder_with_a_map_is_a_site(tmp_path, dust_map):
    write_dust_map(tmp_path / "dust_map.json", dust_map)
    assert open_site(tmp_path) == Site(tmp_path, dust_map, None, None)

    protocol = protocol_for("a@1")
    (tmp_path / "protocol.json").write_text(to_json(protocol))
    assert open_site(tmp_path).protocol == protocol


def test_what_is_no_site_is_refused(tmp_path, tiny_release):
    with pytest.raises(BadRequest, match=r"expected a site's folder, got nothing"):
        open_site(tmp_path / "absent")
    for folder in (tmp_path, tiny_release):
        with pytest.raises(BadRequest, match=r"expected a site's folder with dust_map\.json, got one without"):
            open_site(folder)


def test_a_changed_map_is_refused(tmp_path, dust_map):
    record = dust_map.to_dict() | {"specks": []}
    (tmp_path / "dust_map.json").write_text(json.dumps(record))

    with pytest.raises(BadRelease, match=r"as it was sealed, got a changed one"):
        open_site(tmp_path)


def test_a_site_of_another_release_is_refused(opened, dust_map):
    site = Site(Path("site"), dust_map, protocol_for("other@123456789012"), None)

    with pytest.raises(BadRequest, match=r"site: expected a site of tiny@\w+, got one .* with other@123456789012"):
        list(check_site(site, opened))


def test_a_protocol_of_predictions_without_the_map_guarantees_nothing_for_retouched_photographs(opened, dust_map):
    for used, words in ((None, "without a dust map"), ("a" * 64, "with another dust map (aaaaaaaaaaaa)")):
        site = Site(Path("site"), dust_map, protocol_for(opened.name, dust=used), None)

        (sentence,) = check_site(site, opened)
        assert words in sentence
        assert "does not hold" in sentence


def test_that_the_commissioned_threshold_is_in_the_copy_is_said(opened, dust_map):
    site = Site(Path("site"), dust_map, protocol_for(opened.name, dust=dust_map.seal), None)
    assert "0.25 is in the commissioned copy" in next(check_site(site, opened))

    without = replace(site, protocol=protocol_for(opened.name, dust=dust_map.seal, guaranteed=False))
    assert list(check_site(without, opened)) == []
    assert "has no protocol.json" in next(check_site(replace(site, protocol=None), opened))
    unnamed = replace(site, protocol=protocol_for(None, dust=dust_map.seal, guaranteed=False))
    assert "does not name its release" in next(check_site(unnamed, opened))


def test_predictions_are_of_one_map():
    path = Path("p.csv")

    assert used_dust_map(pd.DataFrame({"image": ["a"]}), path) is None
    assert used_dust_map(pd.DataFrame({"dust_map": ["a" * 64, None]}), path) == "a" * 64
    with pytest.raises(BadTable, match=r"made with one dust map, got 2 \(aaaaaaaaaaaa, bbbbbbbbbbbb\)"):
        used_dust_map(pd.DataFrame({"dust_map": ["a" * 64, "b" * 64]}), path)


def test_a_map_is_made_once_and_never_written_over(tmp_path, dusty_photographs, dust_map):
    shots = [Shot(path=path) for path in dusty_photographs]

    first = dust_of_site(tmp_path, lambda: shots, None, threads=1)
    assert first.dust == read_dust_map(tmp_path / "dust_map.json") == dust_map
    assert not first.agrees
    assert "3 specks on the sensor in 24 photographs of 384 x 288 px" in first.sentences[0]
    assert "made without it" in first.sentences[1]

    def no_more() -> list[Shot]:
        raise AssertionError("the site has a map")

    again = dust_of_site(tmp_path, no_more, dust_map.seal, threads=1)
    assert again.agrees
    assert len(again.sentences) == 1
    assert "was kept; name another folder" in dust_of_site(tmp_path, no_more, None, threads=1).sentences[1]


def test_why_no_map_was_made_is_said_and_costs_nothing_else(tmp_path, dusty_photographs):
    made = dust_of_site(tmp_path, lambda: [Shot(path=path) for path in dusty_photographs[:5]], None, threads=1)

    assert made.dust is None
    assert made.sentences[0].startswith("No dust map was made. Dust map: expected at least 20 photographs")
    assert not (tmp_path / "dust_map.json").exists()
    assert "give --report" in dust_of_site(None, list, None, threads=1).sentences[0]


def test_predictions_of_a_map_that_is_not_there_are_refused(tmp_path, dust_map):
    with pytest.raises(BadRequest, match=r"the dust map that the predictions were made with \(cccccccccccc\), got no"):
        dust_of_site(tmp_path, list, "c" * 64, threads=1)
    write_dust_map(tmp_path / "dust_map.json", dust_map)
    with pytest.raises(BadRequest, match=r"\(cccccccccccc\), got another"):
        dust_of_site(tmp_path, list, "c" * 64, threads=1)


def test_the_photographs_of_a_manifest_are_those_that_a_map_is_made_from(tmp_path):
    listed = pd.DataFrame({"image": ["a.jpg", "b.jpg"], "source": ["s", None], "patient": ["1", None]})

    shots = shots_of(listed.assign(camera=["C", None], taken=[None, "2031-01-01"]), tmp_path / "manifest.csv")

    assert shots == [
        Shot(path=tmp_path / "a.jpg", patient="s/1", camera="C"),
        Shot(path=tmp_path / "b.jpg", taken="2031-01-01"),
    ]


def test_a_map_is_described_in_a_sentence(dust_map):
    assert dust_words(replace(dust_map, camera="Maker 1", specks=dust_map.specks[:1])).startswith(
        "1 speck on the sensor of Maker 1 in 24 photographs"
    )
