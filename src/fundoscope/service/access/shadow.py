"""Shadow mode at the service's door: what consists of an answer alone is refused while answers are shown to nobody.

Routes that answer more than that ask `store.shadow.is_shadow` and leave the answer out.
"""

from __future__ import annotations

from typing import Final

from fastapi import HTTPException
from sqlalchemy.orm import Session

from fundoscope.service.store.shadow import is_shadow

HIDDEN: Final = 409
"""HTTP status of such a refusal: the request is right, and is answered once shadow mode is over."""


def refuse_in_shadow(session: Session, thing: str) -> None:
    """Refuse a request for an answer in shadow mode.

    Args:
        session: Of `Database.reading`.
        thing: Whose answer was asked for.

    Raises:
        HTTPException: 409 in shadow mode.
    """
    if is_shadow(session):
        raise HTTPException(
            HIDDEN,
            f"{thing}: expected a service that shows its answers, got one in shadow mode, which shows them to nobody. "
            "Read the case without the answer.",
        )
