"""Nothing of an answer reaches a reader of an open study: every route of the service is tried."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from fundoscope.service.access.identity import rules_of
from fundoscope.service.app import ROUTERS
from fundoscope.service.store.accounts import add_token, add_user
from fundoscope.service.store.models import Case
from fundoscope.service.store.photographs import photographs_of

RULES = rules_of(ROUTERS)
NAMING = sorted(route for route in RULES if re.search(r"\{(case|sha256)\}", route[1]))
LISTING = sorted(
    path for method, path in RULES if method == "GET" and "{" not in path and not path.startswith("/static")
)
PATIENTS = ("Zebra-1", "Zebra-2")
REFUSAL = "expected one outside the open studies that you read in"


@dataclass
class Trial:
    """A service with an open study that `read-user` reads in, and `free` does not."""

    running: object
    study: str
    cases: dict[str, list[str]]
    """Hashes of the photographs of each case, by its identifier."""
    free: dict[str, str]

    def get(self, path: str, role: str = "read"):
        headers = self.free if role == "free" else self.running.headers[role]
        return self.running.client.get(path, headers=headers, follow_redirects=False)


@pytest.fixture(scope="module")
def trial(running, retinas) -> Trial:
    for number, path in enumerate(retinas[:4]):
        eye = ("left", "right")[number % 2]
        sent = running.send((path.name, path.read_bytes()), patient=PATIENTS[number // 2], eye=eye)
        assert sent.status_code == 202, sent.text
    running.wait()
    with running.service.database.writing() as session:
        add_user(session, "free", "read", None, actor="test")
        free = {"Authorization": f"Bearer {add_token(session, 'free', 'test', actor='test')}"}
        cases = {case.uid: [one.sha256 for one in photographs_of(session, case)] for case in session.query(Case)}
    for uid in cases:
        grades = [{"eye": eye, "grade": 3, "reason": "seen"} for eye in ("left", "right")]
        for role, headers in (("first", free), ("second", running.headers["read"])):
            body = {"case": uid, "role": role, "shown": True, "grades": grades}
            assert running.client.post("/api/readings", json=body, headers=headers).status_code == 201
    form = {"name": "Trial", "sittings": "1", "washout": "0", "with_answer": "1", "reader": "read-user"}
    made = running.client.post("/studies", data=form, headers=running.headers["administer"], follow_redirects=False)
    assert made.status_code == 303, made.text
    return Trial(running, made.headers["location"].partition("?")[0], cases, free)


def addresses(path: str, trial: Trial) -> list[str]:
    """Return the addresses of a route for all cases and photographs of the study."""
    return [
        re.sub(r"\{\w+\}", "0", path.replace("{case}", case).replace("{sha256}", sha256))
        for case, hashes in trial.cases.items()
        for sha256 in hashes
    ]


@pytest.mark.parametrize(("method", "path"), NAMING)
def test_a_route_that_names_a_case_or_a_photograph_answers_no_reader_of_the_study(trial: Trial, method, path):
    for address in addresses(path, trial):
        answers = [
            trial.running.client.request(method, address, headers=headers, follow_redirects=False)
            for headers in (trial.running.headers["read"], trial.free)
        ]
        assert answers[0].status_code == 403
        assert REFUSAL in answers[0].json()["error"]
        assert REFUSAL not in answers[1].text, "who does not read in the study is answered as ever"


@pytest.mark.parametrize("path", LISTING)
def test_no_list_names_a_case_of_the_study_to_its_reader(trial: Trial, path):
    text = trial.get(path).text

    secrets = [*PATIENTS, *trial.cases, *(sha256 for hashes in trial.cases.values() for sha256 in hashes)]
    assert [secret for secret in secrets if secret in text] == []


@pytest.mark.parametrize("path", ["/", "/api/cases", "/api/readings", "/readings", "/readings.csv"])
def test_the_lists_name_them_to_others(trial: Trial, path):
    assert all(case in trial.get(path, "free").text for case in trial.cases)


@pytest.mark.parametrize("path", ["/", "/readings"])
def test_a_list_says_how_many_cases_it_leaves_out(trial: Trial, path):
    assert "2 cases of open studies that you read in are not listed here" in trial.get(path).text
    assert "of open studies" not in trial.get(path, "free").text


def test_a_reading_of_a_case_of_the_study_is_refused(trial: Trial):
    for case in trial.cases:
        body = {"case": case, "role": "second", "shown": False, "grades": [{"eye": "left", "grade": 1}]}
        refused = trial.running.client.post("/api/readings", json=body, headers=trial.running.headers["read"])

        assert refused.status_code == 422
        assert REFUSAL in refused.json()["error"]


def test_the_page_of_a_case_to_be_graded_says_nothing_of_patient_answer_or_photograph(trial: Trial):
    text = trial.get(f"{trial.study}/case").text

    assert "Your grades without the answer" in text
    secrets = [*PATIENTS, *trial.cases, *(sha256 for hashes in trial.cases.values() for sha256 in hashes)]
    words = ["refer", "rescreen", "probability", "heatmap", "Heatmap", "painted_", "quality", "%"]
    assert [secret for secret in [*secrets, *words] if secret in text] == []


def test_only_the_reader_is_sent_the_photographs_of_the_present_case_and_no_heatmap_before_the_grades(trial: Trial):
    page = trial.get(f"{trial.study}/case").text
    pictures = re.findall(r'src="(/studies/[^"]+)"', page)
    assert len(pictures) == 2

    for picture in pictures:
        heatmap = picture.replace("/pictures/", "/heatmaps/").replace(".jpg", ".png")
        assert trial.get(picture).headers["content-type"] == "image/jpeg"
        assert trial.get(heatmap).status_code == 403
        assert trial.get(picture, "free").status_code == 404
        assert trial.get(heatmap, "free").status_code == 404
        assert trial.get(re.sub(r"/\d+\.jpg", "/7.jpg", picture)).status_code == 404
        assert trial.get(re.sub(r"[0-9a-f]{32}/\d", "0" * 32 + "/0", picture)).status_code == 404


def test_the_result_waits_for_the_end_of_the_study(trial: Trial):
    for page in ("result", "grades.csv"):
        assert trial.get(f"{trial.study}/{page}").status_code == 403
        assert trial.get(f"{trial.study}/{page}", "free").status_code == 404
        assert trial.get(f"{trial.study}/{page}", "administer").status_code == 200


def test_when_the_study_is_closed_its_reader_sees_all_of_it(start, tmp_path, retinas):
    with start(tmp_path / "s") as own:
        for number, path in enumerate(retinas[:2]):
            own.send((path.name, path.read_bytes()), patient=PATIENTS[number], eye="left")
        own.wait()
        form = {"name": "T", "sittings": "1", "washout": "0", "reader": "read-user", "with_unread": "1"}
        made = own.client.post("/studies", data=form, headers=own.headers["administer"], follow_redirects=False)
        study, read = made.headers["location"].partition("?")[0], own.headers["read"]
        before = own.client.get("/", headers=read).text
        closed = own.client.post(f"{study}/close", data={"confirm": "1"}, headers=own.headers["administer"])
        after = own.client.get("/", headers=read).text

        assert closed.status_code == 200
        assert [name in before for name in PATIENTS] == [False, False]
        assert [name in after for name in PATIENTS] == [True, True]
        assert own.client.get(f"{study}/result", headers=read).status_code == 200
        assert own.client.get(f"{study}/case", headers=read, follow_redirects=False).headers["location"] == study
