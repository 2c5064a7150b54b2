from __future__ import annotations

import pandas as pd
import pytest
from tests.disguises import DISGUISES, painted

from fundoscope.files import sha256_of
from fundoscope.heatmaps.certification.leakage import LEARNT, SEVERAL, TrainingSet, exposures_of


@pytest.fixture
def learnt(save, tmp_path) -> TrainingSet:
    """Four photographs of four patients in two folds."""
    rows = []
    for seed in range(4):
        path = save(f"learnt/{seed}.jpg", painted(seed))
        rows.append(
            {
                "image": f"learnt/{seed}.jpg",
                "sha256": sha256_of(path),
                "source": "a",
                "patient": f"p{seed}",
                "fold": seed % 2,
            }
        )
    return TrainingSet(frame=pd.DataFrame(rows), manifest=tmp_path / "manifest.csv")


def ask(save, tmp_path, learnt, photographs, *, patients=None, known=True):
    paths = [save(f"asked/{name}.jpg", photo, quality=80) for name, photo in photographs.items()]
    frame = pd.DataFrame({"image": [str(path) for path in paths], "source": "lesions"})
    frame["patient"] = patients or [None] * len(paths)
    # What a manifest was told before of pictures and eyes says nothing of these.
    frame = frame.assign(duplicate_group="d", eye_group="e", fold=7)
    hashes = set(learnt.frame["sha256"])
    given = learnt if known else None
    return exposures_of(frame, paths, given, learnt=hashes, cache=tmp_path / "cache", threads=1)


def test_a_copy_under_another_name_is_judged_by_the_fold_that_held_the_original_out(save, tmp_path, learnt):
    seen = ask(
        save,
        tmp_path,
        learnt,
        {
            "copy": DISGUISES["resized"](painted(1)),
            "flipped": DISGUISES["flipped"](painted(2)),
            "new": painted(77),
        },
    )

    assert [each.fold for each in seen] == [1, 0, None]
    assert [each.refused for each in seen] == ["", "", ""]
    assert [each.repeats for each in seen] == [("learnt/1.jpg",), ("learnt/2.jpg",), ()]


def test_without_folds_a_copy_of_what_was_learnt_from_has_no_judge(save, tmp_path, learnt):
    whole = TrainingSet(frame=learnt.frame.assign(fold=pd.NA), manifest=learnt.manifest)

    seen = ask(save, tmp_path, whole, {"copy": painted(1), "new": painted(78)})

    assert [each.refused for each in seen] == [LEARNT, ""]


def test_the_same_file_is_known_by_its_hash_where_nothing_else_is(save, tmp_path, learnt):
    path = learnt.manifest.parent / "learnt" / "3.jpg"
    frame = pd.DataFrame({"image": ["x.jpg"], "source": ["lesions"], "patient": [None]})

    seen = exposures_of(frame, [path], None, learnt={sha256_of(path)}, cache=tmp_path / "cache", threads=1)

    assert seen[0].refused == LEARNT


def test_a_patient_in_two_folds_has_no_judge(save, tmp_path, learnt):
    """Two photographs of one patient repeat photographs of two folds: every network saw one of them."""
    seen = ask(save, tmp_path, learnt, {"one": painted(0), "two": painted(1)}, patients=["q", "q"])

    assert [each.refused for each in seen] == [SEVERAL, SEVERAL]


def test_one_with_a_photograph_that_every_network_learnt_from_has_no_judge(save, tmp_path, learnt):
    """One patient: a photograph that a fold held out, and another that no fold did."""
    partly = TrainingSet(frame=learnt.frame.assign(fold=[0, pd.NA, 0, 1]), manifest=learnt.manifest)

    seen = ask(save, tmp_path, partly, {"held": painted(0), "not": painted(1)}, patients=["q", "q"])

    assert [each.refused for each in seen] == [LEARNT, LEARNT]
