"""What a service is started with: where it keeps things, where it listens, and its limits.

The folder of a service holds all that it keeps:

    service.sqlite3         its database, unless another is named by a URL
    photographs/ab/cd/...   every accepted photograph, named by the SHA-256 of its bytes and by nothing else
    manifests/ab/cd/...     manifests whose labels are reviewed, by their SHA-256
    releases/HASH/          the releases that it has answered with
    incoming/               uploads that have not ended yet; emptied when the service starts
    serve.lock              locked while a service runs on the folder
    look-back.lock          locked while a release looks back
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from fundoscope.errors import BadRequest
from fundoscope.photo.read import LIMITS

DATABASE: Final = "service.sqlite3"
PHOTOGRAPHS: Final = "photographs"
MANIFESTS: Final = "manifests"
INCOMING: Final = "incoming"
LOCK: Final = "serve.lock"
LOOK_BACK_LOCK: Final = "look-back.lock"

PHOTOGRAPHS_PER_REQUEST: Final = 32
"""Most photographs of one request, unless fewer may wait."""

LARGEST_PORT: Final = 65535
"""Ports end here; 0 lets the system choose one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Settings of one service; checked when they are made."""

    folder: Path
    """Folder of the service; made where absent."""
    database: str | None = None
    """URL of the database, such as `postgresql+psycopg://user@host/name`; None: SQLite in the folder."""
    host: str = "127.0.0.1"
    """Address to listen at."""
    port: int = 8017
    release: Path | None = None
    """Release to grade with, a folder or .zip; None: the one that ships, or the site's commissioned copy."""
    site: Path | None = None
    """Folder of a commissioned site, whose dust map is used as by `grade --site`."""
    workers: int | None = None
    """Photographs graded side by side; None: one for each core."""
    hosts: tuple[str, ...] = ()
    """Names by which clients may call the service beside its address and localhost, without ports."""
    https: bool = False
    """Whether clients reach it by HTTPS, through a proxy or not: cookies are then sent by HTTPS only."""
    upload_bytes: int = 64 * 2**20
    """Most bytes of one photograph."""
    photographs_per_request: int = PHOTOGRAPHS_PER_REQUEST
    """Most photographs of one request."""
    queue_length: int = 256
    """Most photographs that wait for an answer; beyond it submissions are answered with 429."""
    request_seconds: float = 120.0
    """Longest time that a request may take to arrive."""
    idle_seconds: float = 15.0
    """Longest time between two parts of a request."""
    session_minutes: int = 480
    """Minutes after which who logged in has to log in again."""
    shadow: bool | None = None
    """Whether answers are kept and shown to nobody; None: as at the last start."""
    shadow_patients: int | None = None
    """Referable patients to be read before figures of the shadow mode are shown; None: as planned before."""

    def __post_init__(self) -> None:
        _check("port", 0 <= self.port <= LARGEST_PORT, f"a number from 0 to {LARGEST_PORT}", self.port)
        _check("workers", self.workers is None or self.workers >= 1, "at least 1", self.workers)
        limit = LIMITS.max_bytes
        _check("upload_bytes", 1 <= self.upload_bytes <= limit, f"1 to {limit} bytes", self.upload_bytes)
        count = self.photographs_per_request
        _check("photographs_per_request", 1 <= count <= self.queue_length, "1 to the queue's length", count)
        for name in ("queue_length", "request_seconds", "idle_seconds", "session_minutes"):
            _check(name, getattr(self, name) > 0, "more than 0", getattr(self, name))

    @property
    def database_url(self) -> str:
        """URL of the database."""
        return self.database or f"sqlite+pysqlite:///{(self.folder / DATABASE).resolve()}"

    def make_folder(self) -> None:
        """Make the folder where it is absent, for its owner alone: it holds photographs and names of patients."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def photographs(self) -> Path:
        """Folder of the accepted photographs."""
        return self.folder / PHOTOGRAPHS

    @property
    def manifests(self) -> Path:
        """Folder of the manifests whose labels are reviewed."""
        return self.folder / MANIFESTS

    @property
    def incoming(self) -> Path:
        """Folder of uploads that have not ended."""
        return self.folder / INCOMING

    @property
    def is_loopback(self) -> bool:
        """Whether only this computer can reach the service."""
        return is_loopback(self.host)

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """Host names that requests may be addressed to, without ports."""
        own = {self.host} - {"0.0.0.0", "::", ""}
        return frozenset(name.lower() for name in (*own, *self.hosts, "localhost", "127.0.0.1", "::1"))


def is_loopback(host: str) -> bool:
    """Return whether an address is this computer's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _check(name: str, is_right: bool, expected: str, value: object) -> None:
    if not is_right:
        raise BadRequest(f"{name}: expected {expected}, got {value}. Change the setting.")
