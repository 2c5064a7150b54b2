"""Cases that are hidden from whoever reads in an open study that has them: nothing that names one answers them.

The check is part of `identity.Requires`, so that it holds for every route whose path has `{case}` or `{sha256}`, also
for those that are added later. Lists leave the cases out by `store.studies.study.hidden_cases`.
"""

from __future__ import annotations

from fastapi import HTTPException, Request

from fundoscope.service.store.accounts import Account
from fundoscope.service.store.database import Database
from fundoscope.service.store.studies.study import hidden_words, hiding_study


def refuse_hidden(request: Request, account: Account) -> None:
    """Refuse a request for a case, or a photograph of one, that is hidden from an account.

    Raises:
        HTTPException: 403 if it is hidden.
    """
    case, sha256 = request.path_params.get("case"), request.path_params.get("sha256")
    if case is None and sha256 is None:
        return
    database: Database = request.app.state.service.database
    with database.reading() as session:
        study = hiding_study(session, account.user_id, case=case, sha256=sha256)
    if study is not None:
        raise HTTPException(403, hidden_words(f"case {case}" if case else f"photograph {sha256}", study))
