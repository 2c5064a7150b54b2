from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fundoscope.clinic.commissioning.commission import Terms
from fundoscope.clinic.commissioning.from_tables import commission_tables
from fundoscope.clinic.commissioning.protocol import PROTOCOL, commission_release, to_json
from fundoscope.clinic.monitoring.from_tables import SiteProtocol, monitor_tables
from fundoscope.clinic.monitoring.watch import Rules
from fundoscope.errors import BadRelease, BadRequest
from fundoscope.runtime.release import OpenRelease, open_release
from fundoscope.tables import write_table
from fundoscope.tables.pair import read_pair

DAY = date(2031, 2, 3)
RULES = Rules()


def site(rng: np.random.Generator, folder: Path, name: str, release: str, *, first: int) -> Path:
    """A table of 120 patients with a photograph each, 40 % of them scored high; features that mean nothing."""
    ill = rng.permutation(120) < 48
    rows = pd.DataFrame(
        {
            "image": [f"{first + at}.jpg" for at in range(120)],
            "sha256": [f"{first + at:064x}" for at in range(120)],
            "patient": [f"p{first + at}" for at in range(120)],
            "p_referable": np.where(ill, rng.beta(6, 2, 120), rng.beta(1, 6, 120)).round(6),
            "release": release,
        }
    )
    write_table(rows, folder / f"{name}.csv")
    write_table(rows[["image", "sha256", "patient"]].assign(grade=np.where(ill, 2, 0)), folder / f"{name}_manifest.csv")
    np.savez(folder / f"{name}.features.npz", **{sha: rng.normal(size=3).astype("<f4") for sha in rows["sha256"]})
    return folder / f"{name}.csv"


@pytest.fixture
def release(tiny_release) -> OpenRelease:
    return open_release(tiny_release)


@pytest.fixture
def tables(tmp_path: Path, rng, release) -> tuple[Path, Path]:
    """The patients of a commissioning, and those who came since."""
    return (
        site(rng, tmp_path, "then", release.name, first=0),
        site(rng, tmp_path, "now", release.name, first=1000),
    )


@pytest.fixture
def commissioned(tables, release, tmp_path) -> OpenRelease:
    """A copy of the release that was commissioned on the first table."""
    pair = read_pair(tables[0], tmp_path / "then_manifest.csv")
    protocol = commission_tables(pair, Terms(sensitivity=0.7, confidence=0.9), release=release, day=DAY).protocol
    return commission_release(release, tmp_path / "site", protocol)


def test_a_protocol_is_read_from_a_release_an_archive_its_file_or_alone(commissioned, tmp_path):
    archive = Path(shutil.make_archive(str(tmp_path / "site"), "zip", commissioned.path))
    alone = Path(shutil.copy(commissioned.path / PROTOCOL, tmp_path / "alone.json"))

    read = {path: SiteProtocol.read(path) for path in (commissioned.path, archive, commissioned.path / PROTOCOL, alone)}

    stored = json.loads(alone.read_text(encoding="utf-8"))
    assert all(site.protocol == stored for site in read.values())
    names = [None if site.release is None else site.release.name for site in read.values()]
    assert names == [commissioned.name, commissioned.name, commissioned.name, None]


def test_a_release_that_was_not_commissioned_and_a_changed_protocol_are_refused(release, commissioned):
    with pytest.raises(BadRequest, match=r"expected a commissioned release, got one without protocol\.json\. Make one"):
        SiteProtocol.read(release.path)
    stored = json.loads((commissioned.path / PROTOCOL).read_text(encoding="utf-8")) | {"threshold": 0.1}
    changed = commissioned.path.parent / "changed.json"
    changed.write_text(to_json(stored), encoding="utf-8")
    with pytest.raises(BadRelease, match=r"changed\.json: expected the protocol as it was sealed, got a changed one"):
        SiteProtocol.read(changed)


def test_later_patients_are_compared_at_the_protocols_threshold_and_by_features_beside_the_tables(tables, commissioned):
    report = monitor_tables(tables[1], tables[0], RULES, protocol=commissioned.path, day=DAY)

    assert report["date"] == "2031-02-03"
    assert report["threshold"] == commissioned.operating_point.threshold
    assert report["protocol"] == json.loads((commissioned.path / PROTOCOL).read_text())["seal"]
    assert [test["name"] for test in report["tests"]] == ["ungradable", "score", "features"]
    # The release may sign by the name it was commissioned under; both tables do.
    assert not [reason for reason in report["reasons"] if "release" in reason]
    assert report["notes"] == []


def test_a_reference_that_was_not_the_commissioned_one_is_noted(tables, commissioned, rng, tmp_path, release):
    other = site(rng, tmp_path, "other", release.name, first=5000)

    report = monitor_tables(tables[1], other, RULES, protocol=commissioned.path, day=DAY)

    assert report["notes"] == [
        "The reference other.csv is another table than the one that was commissioned (then.csv)."
    ]


def test_features_that_are_absent_are_noted_and_half_of_them_refused(tables, commissioned):
    for table in tables:
        features = table.with_suffix(".features.npz")
        features.rename(features.with_suffix(".hidden"))
    _, now = (table.with_suffix(".features.hidden") for table in tables)

    report = monitor_tables(tables[1], tables[0], RULES, protocol=commissioned.path, day=DAY)
    assert report["notes"] == ["Features were not compared: there is no then.features.npz and no now.features.npz."]
    with pytest.raises(BadRequest, match="expected the features of both tables, got those of one"):
        monitor_tables(tables[1], tables[0], RULES, features=(now, None), day=DAY)
    with pytest.raises(BadRequest, match=r"nowhere\.npz: expected features \(\.npz\), got nothing: there is no such"):
        monitor_tables(tables[1], tables[0], RULES, features=(now.with_name("nowhere.npz"), None), day=DAY)


def test_the_reference_itself_is_no_later_table(tables):
    with pytest.raises(BadRequest, match=r"then\.csv: expected a table of later patients, got the reference itself"):
        monitor_tables(tables[0], tables[0], RULES, day=DAY)
