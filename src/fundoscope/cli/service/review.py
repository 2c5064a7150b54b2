"""`fundoscope service review`: labels that an audit doubts, for people to read again in the service's pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from fundoscope.cli.console import answers, interruptible, print_json, print_text, say_written, troubles
from fundoscope.cli.help import Verb
from fundoscope.cli.layout import fitted
from fundoscope.cli.progress import progress
from fundoscope.cli.service.options import FOLDER, AsJson, DatabaseUrl, Folder, operator, service_database
from fundoscope.errors import BadRequest

INCOMPLETE = 1
"""Exit status where photographs could not be taken."""

NAMED = 12
"""Photographs that the console names."""

reviews = typer.Typer(help="Reviews of labels that an audit doubts.", no_args_is_help=True, add_completion=False)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the review.", show_default=False)]


@reviews.command("add", cls=Verb)
def add(
    audit: Annotated[
        Path, typer.Argument(metavar="AUDIT", help="Folder of an audit's report. `fundoscope audit --report` makes it.")
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the review.", show_default=False)],
    manifests: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[MANIFEST]...",
            help="Manifests that were audited, in the same order. Default: looked for by name, here and beside AUDIT.",
            show_default=False,
        ),
    ] = None,
    readers: Annotated[int, typer.Option(min=1, max=20, help="Readers that each photograph needs.")] = 1,
    folder: Folder = FOLDER,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Take the photographs whose grade an audit doubts into the service, for review.

    They are copied, and are no patients' cases. Exit status: 0 all were taken, 1 some were not, 2 none.
    """
    with service_database(folder, database) as opened:
        from fundoscope.service.settings import ServiceSettings
        from fundoscope.service.work.review_intake import NewReview, add_audit, find_manifests

        settings = ServiceSettings(folder=folder, database=database)
        with interruptible("Nothing was added: give the same command again."), progress() as show:
            added = add_audit(
                opened,
                settings,
                audit,
                manifests or find_manifests(audit),
                NewReview(name=name, readers=readers, actor=operator()),
                progress=lambda done, total: show("copying photographs", done, total),
            )
    if as_json:
        print_json(
            {
                "review": added.name,
                "id": added.uid,
                "photographs": added.photographs,
                "rows": added.rows,
                "not_taken": list(added.refused),
                "other_doubts": dict(added.others),
            }
        )
    else:
        print_text(
            f"Added the review {added.name}: {added.photographs} photographs, of {added.rows} rows. Readers find it at "
            "/reviews."
        )
        for check, count in added.others.items():
            print_text(f"Not in the review: {count} photographs whose grade is not doubted ({check}).")
    _say_refused(added.refused)
    if added.refused:
        raise typer.Exit(INCOMPLETE)


@reviews.command("list", cls=Verb)
def show(folder: Folder = FOLDER, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List the reviews, and how far they are."""
    with service_database(folder, database) as opened, opened.reading() as session:
        from fundoscope.service.store.reviews import all_reviews, judgements_of, outcome_of, photographs_of_review

        lines = []
        for review in all_reviews(session):
            judgements = judgements_of(session, review)
            outcomes = [
                outcome_of(judgements.get(photograph.id, []), review.readers)
                for photograph in photographs_of_review(session, review)
            ]
            lines.append(
                {
                    "name": review.name,
                    "added": review.created,
                    "readers": review.readers,
                    "photographs": len(outcomes),
                    "settled": sum(outcome.is_settled for outcome in outcomes),
                    "readers_differ": sum(outcome.differs for outcome in outcomes),
                    "not_taken": len(review.refused),
                }
            )
    if as_json:
        print_json({"reviews": lines})
        return
    if not lines:
        print_text("There are no reviews. Add one with: fundoscope service review add AUDIT --name NAME")
        return
    from rich.table import Table

    table = Table("name", "added", "photographs", "settled", "readers differ", "not taken", box=None, pad_edge=False)
    for line in lines:
        cells = [line[key] for key in ("photographs", "settled", "readers_differ", "not_taken")]
        table.add_row(str(line["name"]), str(line["added"])[:10], *map(str, cells))
    answers.print(fitted(table))


@reviews.command("export", cls=Verb)
def export(
    name: Name,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write the tables into.")],
    replace: Annotated[bool, typer.Option("--replace", help="Write over tables that exist.")] = False,
    folder: Folder = FOLDER,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Write the corrected manifests, all judgements and each reader's grades.

    The manifest that was audited is not written: its corrected copy belongs into the same folder, where its paths lead
    to the photographs.
    """
    with service_database(folder, database) as opened, opened.reading() as session:
        from fundoscope.runtime.destinations import Rules, try_folder
        from fundoscope.service.settings import ServiceSettings
        from fundoscope.service.store.audit_log import append_entry
        from fundoscope.service.store.reviews import all_reviews
        from fundoscope.service.work.review_exports import export_review
        from fundoscope.tables import write_table

        review = next((review for review in all_reviews(session) if review.name == name), None)
        if review is None:
            known = ", ".join(review.name for review in all_reviews(session)) or "none"
            raise BadRequest(f"{name}: expected a review of the service, it has {known}. Name one of them.")
        tables = export_review(session, review, ServiceSettings(folder=folder, database=database))
        rules = Rules(replace=replace)
        originals = {manifest["original"] for manifest in review.manifests}
        for table in tables:
            rules.check_file(out / table.name, "--out")
            _check_original(out / table.name, originals)
        try_folder(out, "--out")
        for table in tables:
            write_table(table.frame, out / table.name)
        with opened.writing() as writing:
            rows = sum(len(table.frame) for table in tables)
            append_entry(writing, operator(), "label review exported", review.uid, rows=rows)
        paths = [out / table.name for table in tables]
        count = len(review.manifests)
        words = [word for table in tables[:count] for word in table.frame[table.frame.columns[-1]]]
        counts = dict(Counter(map(str, words)).most_common())
    if as_json:
        print_json({"review": name, "tables": [str(path) for path in paths], "rows": counts})
    else:
        shown = ", ".join(f"{word}: {rows}" for word, rows in counts.items())
        print_text(f"{name}: rows of the manifest{'' if count == 1 else 's'} by what became of them: {shown}.")
    say_written(*paths)


def _check_original(path: Path, originals: set[str]) -> None:
    """Refuse to write over the manifest that was audited, whatever it is called.

    Raises:
        BadRequest: If it lies there.
    """
    from fundoscope.files import sha256_of

    if path.is_file() and sha256_of(path) in originals:
        raise BadRequest(
            f"{path}: expected a place for a table, got the manifest that was audited, which is never written over. "
            "Choose another --out."
        )


def _say_refused(refused: Sequence[str]) -> None:
    """Print on standard error what could not be taken."""
    if not refused:
        return
    what = "photograph was not taken; its label stays"
    if len(refused) > 1:
        what = "photographs were not taken; their labels stay"
    print_text(f"{len(refused)} doubted {what}:", to=troubles)
    for words in refused[:NAMED]:
        print_text(words, to=troubles, indent="  ")
    if len(refused) > NAMED:
        print_text(f"and {len(refused) - NAMED} more, which the page of the review names.", to=troubles, indent="  ")
