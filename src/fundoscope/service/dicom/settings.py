"""Settings of DICOM on the network: who may send photographs, and where reports go."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from fundoscope.errors import BadRequest
from fundoscope.service.settings import LARGEST_PORT, is_loopback

LISTENING_PORT: Final = 11112
"""Port registered for DICOM without special rights."""

AE_TITLE: Final = re.compile(r"[\x21-\x5b\x5d-\x7e](?:[\x20-\x5b\x5d-\x7e]{0,14}[\x21-\x5b\x5d-\x7e])?")
"""1 to 16 signs of ASCII without a backslash and without blanks around them (PS3.5, 6.2)."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who may send photographs: an AE title, from one address or from any."""

    ae_title: str
    address: str | None = None

    @classmethod
    def parse(cls, text: str) -> Peer:
        """Return a peer from `AE_TITLE@ADDRESS`, or from `AE_TITLE` for any address.

        Raises:
            BadRequest: If it is neither.
        """
        title, at, address = text.rpartition("@") if "@" in text else (text, "", "")
        if not AE_TITLE.fullmatch(title) or (at and not _is_address(address)):
            raise BadRequest(f"{text!r:.80}: expected a peer as AE_TITLE@ADDRESS, such as CAMERA@10.0.0.5. Correct it.")
        return cls(title, str(ip_address(address)) if at else None)

    def matches(self, ae_title: str, address: str) -> bool:
        """Return whether an association comes from this peer."""
        if ae_title.strip() != self.ae_title:
            return False
        return self.address is None or (_is_address(address) and _plain(address) == self.address)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where reports are sent."""

    ae_title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Destination:
        """Return a destination from `AE_TITLE@HOST:PORT`.

        Raises:
            BadRequest: If it is none.
        """
        title, _, place = text.rpartition("@")
        host, _, port = place.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        is_port = port.isascii() and port.isdecimal() and 1 <= int(port[:6]) <= LARGEST_PORT
        if not AE_TITLE.fullmatch(title) or not host or not is_port:
            raise BadRequest(
                f"{text!r:.80}: expected a destination as AE_TITLE@HOST:PORT, such as ARCHIVE@10.0.0.9:104. Correct it."
            )
        return cls(title, host, int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.ae_title}@{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomSettings:
    """Settings of the listener and of sending; checked when they are made."""

    ae_title: str = "FUNDOSCOPE"
    """Of the service, for what it receives and sends."""
    host: str = "127.0.0.1"
    """Address to listen at."""
    port: int | None = LISTENING_PORT
    """Port to listen at, 0 for one that the system chooses; None: nothing is received."""
    peers: tuple[Peer, ...] = ()
    """Who may send; nobody named: every program of this computer, and that only at a loopback address."""
    destination: Destination | None = None
    """Where reports are sent; None: nowhere."""
    associations: int = 4
    """Most associations at the same time."""
    idle_seconds: float = 30.0
    """Longest pause within an association."""
    settle_seconds: float = 60.0
    """Pause between the answer for a case and its report: photographs that come until then are in the same report."""
    retry_seconds: float = 10.0
    """Pause after a first attempt at sending that failed; it doubles with each, up to an hour."""

    def __post_init__(self) -> None:
        if not AE_TITLE.fullmatch(self.ae_title):
            raise BadRequest(
                f"AE title: expected 1 to 16 letters, digits or signs, got {self.ae_title!r:.40}. Shorten it."
            )
        if self.port is not None and not 0 <= self.port <= LARGEST_PORT:
            raise BadRequest(f"DICOM port: expected a number from 0 to {LARGEST_PORT}, got {self.port}. Change it.")
        if self.port is not None and not self.peers and not is_loopback(self.host):
            raise BadRequest(
                f"DICOM at {self.host}: expected the peers that may send photographs, got none. Name each as "
                "AE_TITLE@ADDRESS, or listen at 127.0.0.1."
            )

    def admits(self, ae_title: str, address: str) -> bool:
        """Return whether a peer may send."""
        return not self.peers or any(peer.matches(ae_title, address) for peer in self.peers)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _plain(address: str) -> str:
    """Return an address as `Peer` has it: IPv4 as such also where it comes in IPv6's form."""
    parsed = ip_address(address)
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
