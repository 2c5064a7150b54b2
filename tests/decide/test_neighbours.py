"""A photograph is graded like those it looks most like, and the file that keeps them is what it says."""

from __future__ import annotations

import io
import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from fundoscope.decide.neighbours import (
    BLOCK,
    Neighbours,
    Voting,
    from_bytes,
    neighbour_probabilities,
    read_neighbours,
    to_bytes,
    write_neighbours,
)
from fundoscope.errors import BadRelease, BadRequest


def hashes(count: int) -> np.ndarray:
    return np.array([f"{number:064x}" for number in range(count)])


def graded(rng: np.random.Generator, photos: int = 60, width: int = 7) -> Neighbours:
    features = rng.normal(size=(photos, width)).astype(np.float32)
    return Neighbours(features, rng.integers(0, 5, photos), hashes(photos))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("k", [1, 4, 10, 60])
def test_answers_as_scikit_learn_does(metric, weights, k, rng):
    known = graded(rng)
    asked = np.concatenate([rng.normal(size=(20, 7)), known.features[:3].astype(np.float64)])
    reference = KNeighborsClassifier(k, metric=metric, weights=weights, algorithm="brute")
    reference.fit(known.features.astype(np.float64), known.grades)

    shares = neighbour_probabilities(asked, known, Voting(k=k, metric=metric, weights=weights))

    if weights == "distance":  # rounding keeps scikit-learn from seeing that these three are known photographs
        assert shares[-3:] == pytest.approx(np.eye(5)[known.grades[:3]])
        asked, shares = asked[:-3], shares[:-3]
    assert shares[:, reference.classes_] == pytest.approx(reference.predict_proba(asked), abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    k=st.integers(1, 12),
    metric=st.sampled_from(["euclidean", "cosine"]),
    weights=st.sampled_from(["uniform", "distance"]),
)
def test_every_row_is_a_distribution(seed, k, metric, weights):
    rng = np.random.default_rng(seed)
    known = graded(rng, photos=12, width=3)
    asked = np.concatenate([rng.normal(size=(4, 3)), known.features[:2]])

    shares = neighbour_probabilities(asked, known, Voting(k=k, metric=metric, weights=weights))

    assert (shares >= 0).all()
    assert shares.sum(axis=1) == pytest.approx(np.ones(6), abs=1e-12)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_the_nearest_neighbour_of_a_known_photograph_is_itself(metric, rng):
    known = graded(rng)

    shares = neighbour_probabilities(known.features, known, Voting(k=1, metric=metric))

    assert shares.argmax(axis=1).tolist() == known.grades.tolist()
    assert shares.max(axis=1).tolist() == [1.0] * 60


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_leaving_itself_out_equals_taking_it_out_of_the_file(metric, rng):
    known = graded(rng, photos=20)

    shares = neighbour_probabilities(known.features, known, Voting(k=3, metric=metric), without=known.sha256)

    for photo in range(20):
        rest = np.arange(20) != photo
        others = Neighbours(known.features[rest], known.grades[rest], known.sha256[rest])
        alone = neighbour_probabilities(known.features[[photo]], others, Voting(k=3, metric=metric))
        assert shares[photo] == pytest.approx(alone[0])


def test_a_copy_of_the_same_file_does_not_vote_on_it_either(rng):
    known = graded(rng, photos=6)
    twice = Neighbours(np.tile(known.features, (2, 1)), np.tile(known.grades, 2), np.tile(known.sha256, 2))

    shares = neighbour_probabilities(known.features, twice, Voting(k=10), without=known.sha256)

    assert shares == pytest.approx(neighbour_probabilities(known.features, known, Voting(k=5), without=known.sha256))


def test_an_answer_does_not_depend_on_who_else_is_asked_for(rng):
    known = graded(rng)
    asked = rng.normal(size=(BLOCK + 3, 7))

    together = neighbour_probabilities(asked, known, Voting(k=5, weights="distance"))

    for photo in (0, BLOCK - 1, BLOCK, BLOCK + 2):
        alone = neighbour_probabilities(asked[[photo]], known, Voting(k=5, weights="distance"))
        assert (together[photo] == alone[0]).all()


def test_by_cosine_brightness_of_the_features_does_not_matter(rng):
    known = graded(rng)
    asked = rng.normal(size=(9, 7))

    first, second = (
        neighbour_probabilities(scale * asked, known, Voting(k=4, metric="cosine")) for scale in (1.0, 8.0)
    )

    assert (first == second).all()
    assert (
        neighbour_probabilities(8 * asked, known, Voting(k=4)) != neighbour_probabilities(asked, known, Voting(k=4))
    ).any()


def test_nearer_neighbours_weigh_more_where_asked():
    known = Neighbours(np.array([[1.0], [-3.0]], np.float32), np.array([0, 4]), hashes(2))

    shares = neighbour_probabilities(np.zeros((1, 1)), known, Voting(k=2, weights="distance"))

    assert shares[0] == pytest.approx([0.75, 0, 0, 0, 0.25])


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_the_file_reads_back_as_it_was_written(kind, tmp_path, rng):
    known = graded(rng)
    known = Neighbours(known.features.astype(kind), known.grades, known.sha256)

    write_neighbours(tmp_path / "neighbours.npz", known)
    back = read_neighbours(tmp_path / "neighbours.npz")

    assert back.features.dtype == kind
    assert (back.features == known.features).all()
    assert back.grades.tolist() == known.grades.tolist()
    assert back.sha256.tolist() == known.sha256.tolist()
    assert to_bytes(back) == to_bytes(known)


@pytest.mark.parametrize("byte", [0, 60, 700, -700, -60, -1])
def test_a_flipped_byte_is_never_graded_with_in_silence(byte, rng):
    """Refused; or it lies where nothing is read from, and then the arrays are as they were."""
    known = graded(rng)
    data = bytearray(to_bytes(known))
    data[byte] ^= 0xFF

    try:
        back = from_bytes(bytes(data), "neighbours.npz")
    except BadRelease:
        back = known
    assert to_bytes(back) == to_bytes(known)


def test_a_damaged_feature_is_refused(rng):
    data = bytearray(to_bytes(graded(rng)))
    data[300] ^= 0xFF

    with pytest.raises(BadRelease, match=r"npz: expected an NPZ file of arrays without objects, got a damaged file"):
        from_bytes(bytes(data), "neighbours.npz")


@pytest.mark.parametrize("kept", [0, 10, 400, -1])
def test_a_file_cut_short_is_refused(kept, rng):
    with pytest.raises(BadRelease, match=r"neighbours\.npz: expected an NPZ file of arrays without objects, got"):
        from_bytes(to_bytes(graded(rng))[:kept], "neighbours.npz")


def test_an_absent_file_and_a_pickle_are_refused(tmp_path):
    with pytest.raises(BadRelease, match=r"none\.npz: expected a file, got .*No such file.*fetch it anew"):
        read_neighbours(tmp_path / "none.npz")
    with pytest.raises(BadRelease, match=r"expected an NPZ file of arrays without objects"):
        from_bytes(pickle.dumps({"features": 1}), "pickled")
    objects = io.BytesIO()
    np.savez(objects, features=np.array([{}], dtype=object))
    with pytest.raises(BadRelease, match=r"without objects, got an array of objects"):
        from_bytes(objects.getvalue(), "objects")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grades": None}, "expected the arrays features, grades, sha256, got features, sha256"),
        ({"more": np.zeros(1)}, "expected the arrays features, grades, sha256, got features, grades, more, sha256"),
        ({"features": np.zeros((3, 2))}, "expected features of type f2 or f4 with 2 axes, got f8 (3, 2)"),
        ({"features": np.zeros(3, np.float32)}, "expected features of type f2 or f4 with 2 axes, got f4 (3,)"),
        ({"features": np.zeros((2, 2), np.float32)}, "expected as many features, grades and sha256, at least one"),
        ({"features": np.zeros((3, 0), np.float32)}, "got 3, 3 and 3, 0 features each"),
        (
            {"features": np.full((3, 2), np.nan, np.float32)},
            "without objects, got numbers in features that are not finite",
        ),
        ({"grades": np.array([0.0, 1, 2])}, "expected grades of type u1 with 1 axes, got f8 (3,)"),
        ({"grades": np.array([0, 5, 2], np.uint8)}, "expected grades from 0 to 4, got [0, 2, 5]"),
        ({"sha256": np.array(["a", "b", "c"])}, "expected sha256 of type U64 with 1 axes, got U1 (3,)"),
        ({"sha256": np.array(["g" * 64] * 3)}, "expected sha256 of 64 hexadecimal digits, got 'gggg"),
    ],
)
def test_a_file_that_is_not_as_the_contract_says_is_refused(changes, message):
    arrays = {"features": np.ones((3, 2), np.float32), "grades": np.array([0, 1, 2], np.uint8), "sha256": hashes(3)}
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in (arrays | changes).items() if array is not None})

    with pytest.raises(BadRelease, match=re.escape(message)):
        from_bytes(buffer.getvalue(), "neighbours.npz")


def test_nothing_is_written_that_could_not_be_read(tmp_path, rng):
    known = graded(rng, photos=3)
    for wrong, message in [
        (Neighbours(known.features.astype(np.float64), known.grades, known.sha256), "float16 or float32, got float64"),
        (Neighbours(known.features, known.grades - 9, known.sha256), "expected grades from 0 to 4"),
        (Neighbours(known.features, known.grades, known.sha256[:2]), "got 3, 3 and 2, 7 features each"),
    ]:
        with pytest.raises(BadRelease, match=message):
            write_neighbours(tmp_path / "neighbours.npz", wrong)
    assert list(tmp_path.iterdir()) == []


def test_refuses_to_ask_more_neighbours_than_there_are(rng):
    known = graded(rng, photos=5)

    with pytest.raises(BadRequest, match=r"neighbours: expected k from 1 to 5 .*, got 6\. Ask for fewer"):
        neighbour_probabilities(known.features, known, Voting(k=6))
    with pytest.raises(BadRequest, match=r"expected k from 1 to 4 .*, got 5"):
        neighbour_probabilities(known.features, known, Voting(k=5), without=known.sha256)


def test_refuses_features_that_cannot_be_compared(rng):
    known = graded(rng, photos=5)

    with pytest.raises(ValueError, match=r"features must have 7 columns, got 6"):
        neighbour_probabilities(np.zeros((1, 6)), known, Voting(k=1))
    with pytest.raises(ValueError, match=r"features must be finite, row 0 is not"):
        neighbour_probabilities(np.full((1, 7), np.inf), known, Voting(k=1))
    with pytest.raises(ValueError, match=r"features must not be all zeros for the cosine, row 0 is"):
        neighbour_probabilities(np.zeros((1, 7)), known, Voting(k=1, metric="cosine"))
    with pytest.raises(ValueError, match=r"without must name 2 photographs, got 1"):
        neighbour_probabilities(np.ones((2, 7)), known, Voting(k=1), without=known.sha256[:1])


def test_a_vote_is_read_back_as_it_was_written_and_nothing_else_is():
    voting = Voting(k=3, metric="cosine", weights="distance")

    assert Voting.from_dict(voting.to_dict()) == voting
    with pytest.raises(ValueError, match="expected the keys k, metric, weights, got k"):
        Voting.from_dict({"k": 3})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"k": 0}, "k must be a whole number above 0, got 0"),
        ({"k": True}, "k must be a whole number above 0, got True"),
        ({"metric": "hamming"}, "metric must be one of euclidean, cosine, got 'hamming'"),
        ({"weights": "none"}, "weights must be one of uniform, distance, got 'none'"),
    ],
)
def test_a_vote_that_cannot_be_held_is_refused(values: dict, message: str):
    with pytest.raises(ValueError, match=message):
        Voting(**values)
