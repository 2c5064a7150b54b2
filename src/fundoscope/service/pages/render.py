"""Pages from templates: what every page of the reading room has in common."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi.responses import HTMLResponse

from fundoscope.pages import environment
from fundoscope.service.access.roles import Role
from fundoscope.service.pages.views import SYMBOLS
from fundoscope.service.store.accounts import Account

FOLDER: Final = Path(__file__).parent

PLACES: Final = (
    ("Worklist", "/"),
    ("Readings", "/readings"),
    ("Studies", "/studies"),
    ("Label reviews", "/reviews"),
    ("Site", "/site"),
    ("Release", "/release"),
)
"""Pages of the menu."""

ADMINISTRATION: Final = (("Shadow mode", "/shadow"), ("Look-back", "/look-back"))
"""Further pages of the menu, for whoever administers the service."""

TEMPLATES: Final = environment(FOLDER / "templates", symbols=SYMBOLS)


def render_page(
    template: str,
    account: Account | None = None,
    *,
    message: str = "",
    status: int = 200,
    place: str = "",
    **shown: object,
) -> HTMLResponse:
    """Return a page.

    Args:
        template: Name of a template of this package.
        account: Who looks at it; None: nobody has logged in.
        message: A sentence at the top: what is wrong with a form that was sent.
        status: HTTP status.
        place: Address of the entry of the menu that it belongs to.
        shown: What the template shows.
    """
    who = {"user": None, "csrf": ""} if account is None else {"user": account.name, "csrf": account.csrf or ""}
    administers = account is not None and account.role == Role.administer
    places = (*PLACES, *ADMINISTRATION) if administers else PLACES
    text = TEMPLATES.get_template(template).render(**who, message=message, places=places, place=place, **shown)
    return HTMLResponse(text, status_code=status)
