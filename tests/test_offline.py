"""Nothing opens a socket or writes into the user's folders, under any program that computes a release."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

FIRST_LOOKUP_S = 13
"""How long onnxruntime 1.32 waits after its import before it looks up its makers' computer."""

STAY = f"import time; time.sleep({FIRST_LOOKUP_S + 7})"

SOCKET = re.compile(r"\bsocket\((AF_INET6?|AF_NETLINK)\b|\bconnect\(.*AF_INET")

CLI = """
import sys
from fundoscope.cli import main
sys.argv = ["fundoscope", *sys.argv[1:]]
try:
    main()
except SystemExit as ended:
    print("ended", ended.code)
"""

API = """
import sys
from fundoscope import Grader
print(Grader.open(sys.argv[1], threads=1).grade(sys.argv[2]).status)
import onnxruntime
"""

ONNXRUNTIME_FIRST = """
import sys
import onnxruntime
from fundoscope import Grader
"""


class Traced:
    """A Python process whose system calls are recorded, with a home of its own."""

    def __init__(self, folder: Path, code: str, arguments: Sequence[object], env: dict[str, str]) -> None:
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.trace = folder / "trace.txt"
        hidden = ("ORT_DISABLE_TELEMETRY", "DO_NOT_TRACK", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
        kept = {name: value for name, value in os.environ.items() if name not in hidden}
        command = ["strace", "-f", "-qq", "-e", "trace=%network", "-o", str(self.trace), sys.executable, "-c", code]
        self._process = subprocess.Popen(
            [*command, *map(str, arguments)],
            env=kept | {"HOME": str(self.home), "OMP_NUM_THREADS": "1"} | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def output(self) -> str:
        return self._process.communicate(timeout=300)[0]

    def sockets(self) -> list[str]:
        return [line for line in self.trace.read_text().splitlines() if SOCKET.search(line)]

    def written(self) -> list[str]:
        # The answers to the check of golden outputs are the program's own, not a library's.
        return [str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file()]


@pytest.fixture
def trace(tmp_path: Path) -> Callable[..., Traced]:
    """Starts a process under strace; the test skips where system calls cannot be traced."""
    try:
        subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs strace, and leave to trace")
    count = iter(range(100))
    return lambda code, *arguments, **env: Traced(tmp_path / f"process_{next(count)}", code, arguments, env)


def test_onnxruntime_writes_nothing_and_opens_no_socket_when_a_release_is_opened_by_the_api(
    trace: Callable[..., Traced], tiny_release: Path, retinas: list[Path]
):
    process = trace(API, tiny_release, retinas[0])

    assert process.output() == "graded\n"
    assert process.sockets() == []
    assert process.written() == []


@pytest.mark.slow
def test_no_verb_opens_a_socket_while_a_report_to_the_makers_would_be_due(
    trace: Callable[..., Traced], tiny_release: Path, retinas: list[Path], tmp_path: Path
):
    table = tmp_path / "grades.csv"
    verbs: list[tuple[object, ...]] = [
        ("grade", *retinas, "--release", tiny_release, "--out", table, "--report", tmp_path / "report"),
        ("verify", tiny_release),
        ("explain", retinas[0], "--release", tiny_release, "--out", tmp_path / "explained"),
    ]
    if find_spec("openvino") is not None:
        verbs.append(("grade", *retinas, "--release", tiny_release, "--backend", "openvino"))
    if find_spec("timm") is not None:
        verbs.append(("experiments",))
    processes = [(trace(API + STAY, tiny_release, retinas[0]), "graded")]
    processes += [(trace(CLI + STAY, *verb), "ended 0") for verb in verbs]

    for process, ending in processes:
        assert process.output().splitlines()[-1] == ending
        assert process.sockets() == []
        assert process.written() == []


def test_libraries_for_training_take_models_from_this_computer_only(trace: Callable[..., Traced]):
    code = CLI + "import os; print(os.environ['HF_HUB_OFFLINE'], os.environ['HF_HUB_DISABLE_TELEMETRY'])"

    assert trace(code, "--version", HF_HUB_OFFLINE="0").output().splitlines()[-1] == "1 1"


def test_importing_onnxruntime_before_fundoscope_is_warned_of(trace: Callable[..., Traced]):
    words = "RuntimeWarning: onnxruntime: expected to be imported after fundoscope, got the reverse"

    assert words in trace(ONNXRUNTIME_FIRST).output()
    assert trace(ONNXRUNTIME_FIRST, ORT_DISABLE_TELEMETRY="1").output() == ""
    assert trace("import fundoscope, onnxruntime; import fundoscope.runtime.release").output() == ""
