from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.errors import BadRequest
from fundoscope.training.batches.targets import GRADE, Target
from fundoscope.training.experiment.file import experiment_from_dict
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.export.claims import Origin, data_limits, licence_claim, origins, training_sources

ROWS = pd.DataFrame(
    {
        "image": [f"{number}.jpg" for number in range(9)],
        "source": ["idrid"] * 4 + ["aptos"] * 3 + ["mine"] * 2,
        "patient": ["a", "a", "b", "c", None, None, None, "x", "y"],
        "grade": [0, 2, 2, 4, 0, 1, 1, 3, 0],
        "boxes": ["boxes.csv"] * 4 + [None] * 5,
    }
)


@pytest.fixture
def experiment() -> Experiment:
    return experiment_from_dict({"name": "x", "recipe": {"side": 64}}, where="the test")


def with_lesions(experiment: Experiment) -> Experiment:
    return dataclasses.replace(experiment, lesions=dataclasses.replace(experiment.lesions, weight=0.5))


def test_three_sources_are_described_by_photographs_patients_and_grades(experiment: Experiment):
    aptos, idrid, mine = training_sources(ROWS, GRADE, experiment)

    assert (idrid.name, idrid.photographs, idrid.patients) == ("idrid", 4, 3)
    assert idrid.labels == {"0": 1, "1": 0, "2": 2, "3": 0, "4": 1}
    assert idrid.licences == ("CC BY 4.0",)
    assert "Porwal" in idrid.citation
    assert (aptos.photographs, aptos.patients, aptos.labels["1"]) == (3, None, 2)
    assert aptos.licences == ("Kaggle competition rules (no redistribution)",)
    assert (mine.name, mine.title, mine.citation, mine.licences, mine.patients) == ("mine", "", "", ("",), 2)


def test_annotations_that_are_learnt_from_bring_their_own_licence(experiment: Experiment):
    idrid = training_sources(ROWS[ROWS["source"] == "idrid"], GRADE, with_lesions(experiment))[0]
    unmarked = training_sources(ROWS[ROWS["source"] == "idrid"].drop(columns="boxes"), GRADE, with_lesions(experiment))

    assert idrid.licences == ("CC BY 4.0", "CC BY-SA 4.0")
    assert unmarked[0].licences == ("CC BY 4.0",)


def test_a_manifest_says_the_licence_of_photographs_of_its_own(experiment: Experiment):
    rows = ROWS.assign(licence=["CC BY 4.0"] * 7 + ["all rights reserved"] * 2)

    assert training_sources(rows, GRADE, experiment)[2].licences == ("all rights reserved",)


def test_rows_that_state_no_licence_have_the_published_one_and_those_of_the_clinic_none(experiment: Experiment):
    """A joined manifest has the column for one source's sake."""
    rows = ROWS.assign(licence=[None] * 7 + ["CC BY 4.0", " "])

    aptos, idrid, mine = training_sources(rows, GRADE, experiment)
    assert idrid.licences == ("CC BY 4.0",)
    assert aptos.licences == ("Kaggle competition rules (no redistribution)",)
    assert mine.licences == ("", "CC BY 4.0")
    assert licence_claim(origins([mine], experiment)).startswith("unknown: no licence is known of mine")


def test_signs_are_counted_where_they_are_there_and_classes_by_name(experiment: Experiment):
    rows = ROWS.assign(sign_ma=[1, 0, None] * 3, state=["ill", "well", "well"] * 3)
    signs = training_sources(rows[:4], Target("signs", "signs", ("sign_ma",)), experiment)[0]
    classes = training_sources(rows[:4], Target("classes", "state", ("well", "ill")), experiment)[0]

    assert signs.labels == {"sign_ma": 2}
    assert classes.labels == {"well": 2, "ill": 2}


@pytest.mark.parametrize(
    ("licences", "claim"),
    [
        ({"idrid": "CC BY 4.0"}, "Apache-2.0"),
        ({}, "Apache-2.0"),
        ({"idrid": "CC BY 4.0", "boxes": "CC BY-SA 4.0"}, "share-alike, by the terms of boxes (CC BY-SA 4.0)"),
        (
            {"idrid": "CC BY 4.0", "eyeq": "CC BY-NC-SA 4.0", "w": "CC BY-SA 4.0"},
            "non-commercial use only, by the terms of eyeq (CC BY-NC-SA 4.0)",
        ),
        (
            {"a": "no redistribution", "b": "on request", "c": "MIT"},
            "restricted by the terms of a (no redistribution), b (on request)",
        ),
        ({"mine": "", "idrid": "CC BY 4.0"}, "unknown: no licence is known of mine; otherwise Apache-2.0"),
        (
            {"mine": "", "w": "CC BY-NC 4.0"},
            "unknown: no licence is known of mine; otherwise non-commercial use only, by the terms of w (CC BY-NC 4.0)",
        ),
    ],
)
def test_a_release_is_bound_by_the_strictest_licence_it_was_made_from(licences: dict[str, str], claim: str):
    assert licence_claim([Origin(what=what, licence=text) for what, text in licences.items()]) == claim


@pytest.mark.parametrize(
    ("licence", "wanted", "claim"),
    [
        ("CC BY 4.0", "CC BY-NC 4.0", "CC BY-NC 4.0"),
        ("CC BY-NC 4.0", "CC BY-NC-SA 4.0", "CC BY-NC-SA 4.0"),
        ("CC BY-NC 4.0", "all rights reserved", "all rights reserved"),
        ("", "CC BY-NC 4.0", "unknown: no licence is known of data; otherwise CC BY-NC 4.0"),
    ],
)
def test_a_wanted_licence_may_be_narrower(licence: str, wanted: str, claim: str):
    assert licence_claim([Origin(what="data", licence=licence)], wanted=wanted) == claim


@pytest.mark.parametrize(
    ("licence", "wanted"),
    [("CC BY-NC 4.0", "Apache-2.0"), ("no redistribution", "CC BY-NC 4.0"), ("CC BY 4.0", "as you like")],
)
def test_a_wanted_licence_that_is_wider_or_not_recognised_is_refused(licence: str, wanted: str):
    with pytest.raises(BadRequest, match=rf"release\.licence: expected .* no wider than data \(.*got '{wanted}'"):
        licence_claim([Origin(what="data", licence=licence)], wanted=wanted)


def test_weights_and_prototypes_that_training_started_from_bind_a_release(experiment: Experiment):
    network = dataclasses.replace(
        experiment.network, backbone="retfound", weights="x.pth", weights_licence="CC BY-NC 4.0"
    )
    from_weights = dataclasses.replace(experiment, network=network)
    unknown = dataclasses.replace(experiment, network=dataclasses.replace(network, weights_licence=""))

    assert origins([], experiment) == []
    assert licence_claim(origins([], from_weights)) == (
        "non-commercial use only, by the terms of the starting weights of retfound (CC BY-NC 4.0)"
    )
    assert licence_claim(origins([], unknown)).startswith("unknown: no licence is known of the starting weights of ret")


def test_limits_name_the_sources_the_cameras_and_patients_that_are_unknown(experiment: Experiment):
    sources = training_sources(ROWS, GRADE, experiment)
    with_camera = ROWS.assign(camera=["Kowa"] * 4 + ["Topcon"] * 3 + [None] * 2)

    first, second = data_limits(sources, ROWS)
    assert first == (
        "Trained on 9 photographs of 3 sources (aptos, idrid, mine); other cameras, populations and pupil sizes are "
        "untested."
    )
    assert second.startswith("The patients of aptos are unknown: ")
    assert "3 sources (aptos, idrid, mine), taken with Kowa, Topcon; other" in data_limits(sources, with_camera)[0]
    alone = ROWS[ROWS["source"] == "idrid"]
    assert data_limits(training_sources(alone, GRADE, experiment), alone) == [
        "Trained on 4 photographs of 1 source (idrid); other cameras, populations and pupil sizes are untested."
    ]


def test_photographs_without_a_source_are_said_to_have_none(experiment: Experiment):
    rows = ROWS.drop(columns="source")
    sources = training_sources(rows, GRADE, experiment)

    assert [source.name for source in sources] == ["photographs without a source"]
    assert licence_claim(origins(sources, experiment)) == (
        "unknown: no licence is known of photographs without a source; otherwise Apache-2.0"
    )
