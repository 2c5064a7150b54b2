"""`fundoscope monitor`, from the command line to its exit status."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fundoscope.photo.artefacts.dust_map import write_dust_map
from fundoscope.photo.artefacts.make import Shot, make_dust_map
from fundoscope.runtime.release import open_release
from fundoscope.tables import write_table


@pytest.fixture
def run(run_verb):
    """Run `monitor`, or another verb."""

    def run(*arguments: object, verb: str = "monitor") -> tuple[int, str, str]:
        return run_verb(verb, *arguments)

    return run


def patients(rng: np.random.Generator, count: int, *, ill: float = 0.4, first: int = 0) -> pd.DataFrame:
    """Predictions of patients with two photographs each; `ill` of them score high. Grades say who is ill."""
    sick = np.repeat(np.arange(count) < ill * count, 2)[np.repeat(rng.permutation(count), 2) * 2]
    return pd.DataFrame(
        {
            "image": [f"{first + at}.jpg" for at in range(2 * count)],
            "sha256": [f"{first + at:064x}" for at in range(2 * count)],
            "patient": np.repeat([f"p{first + at}" for at in range(count)], 2),
            "p_referable": np.where(sick, rng.beta(6, 2, 2 * count), rng.beta(1, 6, 2 * count)).round(6),
            "taken": np.repeat(pd.date_range("2026-01-01", periods=count).strftime("%Y-%m-%d"), 2),
        }
    ).assign(reference=np.where(sick, 2, 0))


@pytest.fixture
def tables(tmp_path: Path, rng) -> dict[str, Path]:
    """Tables of a commissioning and of two later times: as it was, and with many more ill patients; with features."""
    made = {
        "then": patients(rng, 150),
        "now": patients(rng, 150, first=1000),
        "later": patients(rng, 150, first=2000, ill=0.8),
    }
    for name, rows in made.items():
        write_table(rows.drop(columns="reference"), tmp_path / f"{name}.csv")
        shift = 1.0 if name == "later" else 0.0
        np.savez(
            tmp_path / f"{name}.features.npz",
            **{sha256: (shift + rng.normal(size=3)).astype("<f4") for sha256 in rows["sha256"]},
        )
    manifest = made["then"].assign(grade=made["then"]["reference"])[["image", "sha256", "patient", "grade"]]
    write_table(manifest, tmp_path / "manifest.csv")
    return {name: tmp_path / f"{name}.csv" for name in (*made, "manifest")}


@pytest.fixture
def protocol(run, tables, tmp_path) -> Path:
    """Of the first table."""
    status, _, err = run(tables["then"], tables["manifest"], "--report", tmp_path / "report", verb="commission")
    assert status == 0, err
    return tmp_path / "report" / "protocol.json"


def test_a_site_that_stays_as_it_was_is_told_so_with_status_0(run, tables, protocol):
    status, out, err = run(tables["now"], "--reference", tables["then"], "--protocol", protocol)

    assert (status, err) == (0, "")
    for words in (
        "The protocol holds as far as 150 patients can tell: no change was found.",
        "by the column taken, 2026-01-01 to 2026-05-30",
        "Features: squared mean discrepancy",
        "between 150 and 150 patients",
        "at most one false alarm in 2,000 patients",
        "not a medical device",
    ):
        assert words in out, words
    assert "is another table than the one that was commissioned" not in out


def test_a_change_is_status_1_and_written_for_programs_and_for_people(run, tables, protocol, tmp_path):
    arguments = (tables["later"], "--reference", tables["then"], "--protocol", protocol, "--report", tmp_path / "out")
    status, out, err = run(*arguments, "--json", "--false-alarms", "one in 5,000 patients")

    assert status == 1
    assert "Written: " in err
    report = json.loads((tmp_path / "out" / "monitor.json").read_text())
    assert json.loads(out) == report
    assert report["rules"]["false_alarm_after"] == 5000
    assert [each["name"] for each in report["tests"] if each["alarm"]] == ["score", "features"]
    assert "**The protocol no longer holds (3 reasons)" in (tmp_path / "out" / "monitor.md").read_text()
    assert run(*arguments, "--false-alarms", "5000")[1].count("More patients are referred than in the reference") == 1


def test_features_that_lie_elsewhere_are_named_and_one_table_without_them_is_no_comparison(run, tables, tmp_path):
    write_table(pd.read_csv(tables["now"]).assign(decision="rescreen"), tmp_path / "decided.csv")
    write_table(pd.read_csv(tables["then"]).assign(decision="rescreen"), tmp_path / "old.csv")
    arguments = (tmp_path / "decided.csv", "--reference", tmp_path / "old.csv")
    here, then = (tables[name].with_name(f"{name}.features.npz") for name in ("now", "then"))

    assert "Features were not compared: there is no old.features.npz and no decided.features.npz." in run(*arguments)[1]
    assert "Features: squared mean" in run(*arguments, "--features", here, "--features-reference", then)[1]
    status, _, err = run(*arguments, "--features", here)
    assert status == 2
    assert "old.features.npz: expected the features of both tables, got those of one" in err
    assert "expected features (.npz), got nothing" in run(*arguments, "--features", tmp_path / "absent.npz")[2]
    np.savez(tmp_path / "short.npz", **{f"{1000:064x}": np.ones(2)})
    short = run(*arguments, "--features", tmp_path / "short.npz", "--features-reference", then)[2]
    assert "short.npz: expected features as long as those of" in short


def test_a_camera_that_gives_nothing_gradable_is_an_alarm_and_not_a_bad_table(run, tables, tmp_path, protocol):
    now = pd.read_csv(tables["now"], dtype={"taken": str})
    write_table(now.assign(status="ungradable", p_referable=np.nan, grade=np.nan), tables["now"])
    status, out, err = run(tables["now"], "--reference", tables["then"], "--protocol", protocol)

    assert status == 1, err
    assert "Gradability changed: 100.0% of the patients have an eye that cannot be graded" in out
    assert "Features were not compared: fewer than two patients have them." in out


def test_wrong_use_is_status_2_and_says_what_to_do(run, tables, protocol, tiny_release):
    for arguments, words in (
        (
            (tables["then"], "--reference", tables["then"]),
            "expected a table of later patients, got the reference itself",
        ),
        (
            (tables["now"], "--reference", tables["then"]),
            "Give --protocol protocol.json, or fill in the column decision",
        ),
        (
            (tables["now"], "--reference", tables["then"], "--false-alarms", "seldom"),
            "--false-alarms: expected 'one in N patients' or a number of patients, got 'seldom'",
        ),
        (
            (tables["now"], "--reference", tables["then"], "--protocol", tiny_release),
            "expected a commissioned release, got one without protocol.json",
        ),
    ):
        status, _, err = run(*arguments)
        assert status == 2, err
        assert words in err, err


@pytest.fixture
def commissioned(run, tables, tiny_release, tmp_path) -> Path:
    """A copy of a release, commissioned on the first table, whose rows it signed."""
    name = open_release(tiny_release).name
    write_table(pd.read_csv(tables["then"], dtype={"taken": str}).assign(release=name), tables["then"])
    status, _, err = run(
        tables["then"], tables["manifest"], "--release", tiny_release, "--out", tmp_path / "copy", verb="commission"
    )
    assert status == 0, err
    return tmp_path / "copy"


def test_the_commissioned_release_may_sign_with_either_name_and_no_other_may(run, tables, commissioned, tiny_release):
    opened = open_release(commissioned)
    now = pd.read_csv(tables["now"], dtype={"taken": str})
    for name, expected in ((opened.name, 0), (open_release(tiny_release).name, 0), ("another@1", 1)):
        write_table(now.assign(release=name), tables["now"])
        status, out, err = run(tables["now"], "--reference", tables["then"], "--protocol", commissioned)
        assert status == expected, err
        assert ("Another release answered" in out) == bool(expected)
    inside = run(tables["now"], "--reference", tables["then"], "--protocol", commissioned / "protocol.json")
    assert inside[0] == 1
    assert f"{opened.name}" in inside[1]


def test_decisions_at_another_threshold_are_named(run, tables, commissioned):
    opened = open_release(commissioned)
    now = pd.read_csv(tables["now"], dtype={"taken": str})
    for threshold, expected in ((opened.operating_point.threshold, 0), (0.999, 1)):
        decision = np.where(now["p_referable"] >= threshold, "refer", "rescreen")
        write_table(now.assign(release=opened.name, decision=decision), tables["now"])
        status, out, _ = run(tables["now"], "--reference", tables["then"], "--protocol", commissioned)
        assert status == expected
        assert ("The threshold was changed" in out) == bool(expected)


def test_dust_that_has_come_since_the_commissioning_is_an_alarm(run, tables, rng, dusty_photographs, dust, tmp_path):
    """The site's map lacks one of the specks that are on the sensor now."""
    dust_map = make_dust_map([Shot(path=path) for path in dusty_photographs])
    fewer = replace(dust_map, specks=dust_map.specks[:2])
    (tmp_path / "site").mkdir()
    write_dust_map(tmp_path / "site" / "dust_map.json", fewer)
    now = patients(rng, 12, first=1000).drop(columns="reference")
    now = now.assign(image=[path.name for path in dusty_photographs], eye=["left", "right"] * 12, dust_map=fewer.seal)
    now_csv = tmp_path / "new.csv"
    write_table(now.assign(decision="rescreen"), now_csv)
    then = pd.read_csv(tables["then"]).assign(decision="rescreen")
    write_table(then, tables["then"])
    arguments = (now_csv, "--reference", tables["then"], "--site", tmp_path / "site")

    status, out, _ = run(*arguments, "--photographs", dusty_photographs[0].parent, "--report", tmp_path / "report")

    assert status == 1
    assert "1 speck has come (row, column in px: 216, 16" in out
    record = json.loads((tmp_path / "report" / "monitor.json").read_text())["dust"]
    assert (record["map"], record["photographs"], len(record["come"]), record["gone"]) == (fewer.seal, 24, 1, [])
    assert "Clean the sensor" in (tmp_path / "report" / "monitor.md").read_text()
    assert "Dust was not compared" in run(*arguments)[1]
    status, _, said = run(now_csv, "--reference", tables["then"], "--photographs", tmp_path)
    assert (status, "--photographs: expected --site beside it" in said) == (2, True)
