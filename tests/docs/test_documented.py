"""The parser of commands: a command that it does not see would not be tested."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

documented = runpy.run_path(str(Path(__file__).with_name("documented.py")))
commands_in, code_in = documented["commands_in"], documented["code_in"]

PAGE = """
Call `fundoscope verify` or `fundoscope grade A B`, and read `--out`, `fundoscope` or `release.json`.

```sh
. .venv/bin/activate && .venv/bin/fundoscope grade 'a b' \\
    --out r.csv   # a comment
fundoscope data columns --json > columns.json
```

| to | command |
|---|---|
| split | `fundoscope data split m.csv`, `--folds 5`, `fundoscope data from x --grade-map "R0=0,1=1"` |

```text
fundoscope is not a command here
```

```python
print("fundoscope grade x")
```
"""


def test_commands_are_found_in_blocks_tables_and_sentences_and_nowhere_else():
    found = [(command.place, command.line, command.words) for command in commands_in(PAGE, "page.md")]

    assert found == [
        ("sentence", 2, ("fundoscope", "verify")),
        ("sentence", 2, ("fundoscope", "grade", "A", "B")),
        ("block", 5, (".", ".venv/bin/activate")),
        ("block", 5, (".venv/bin/fundoscope", "grade", "a b", "--out", "r.csv")),
        ("block", 7, ("fundoscope", "data", "columns", "--json", ">", "columns.json")),
        ("table", 12, ("fundoscope", "data", "split", "m.csv")),
        ("table", 12, ("fundoscope", "data", "from", "x", "--grade-map", "R0=0,1=1")),
    ]


def test_a_command_knows_what_it_calls_and_where_the_shell_writes_its_output():
    activate, grade, columns = commands_in(PAGE, "page.md")[2:5]

    assert [command.is_ours for command in (activate, grade, columns)] == [False, True, True]
    assert columns.arguments == ["data", "columns", "--json"]
    assert columns.output == "columns.json"
    assert grade.output is None


def test_a_quote_that_is_not_closed_is_no_command_that_is_passed_over():
    with pytest.raises(ValueError, match="No closing quotation"):
        commands_in("```sh\nfundoscope grade 'a\n```\n", "page.md")


def test_blocks_of_a_language_are_found():
    assert code_in(PAGE, "python") == ['print("fundoscope grade x")\n']
