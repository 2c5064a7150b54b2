"""Options of `fundoscope serve` for DICOM on the network."""

from __future__ import annotations

import importlib
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from fundoscope.cli.console import needs_extra
from fundoscope.errors import BadRequest

if TYPE_CHECKING:
    from fundoscope.runtime.release import OpenRelease
    from fundoscope.service.dicom.settings import DicomSettings

Port = Annotated[
    int | None,
    typer.Option(
        "--dicom-port",
        min=1,
        max=65535,
        help="Port to receive photographs at by C-STORE. Such as 11112. Default: none are received.",
    ),
]
Host = Annotated[
    str,
    typer.Option(
        "--dicom-host",
        metavar="HOST",
        help="Address to receive at. One that other computers reach needs --dicom-peer.",
    ),
]
Title = Annotated[str, typer.Option("--dicom-title", metavar="AE", help="AE title of the service.")]
Peers = Annotated[
    list[str] | None,
    typer.Option(
        "--dicom-peer",
        metavar="PEER",
        help="Who may send photographs. As AE@ADDRESS; can be repeated. Default: any program of this computer.",
    ),
]
SendTo = Annotated[
    str | None,
    typer.Option(
        "--dicom-send-to",
        metavar="PEER",
        help="Archive that reports are sent to. As AE@HOST:PORT. A report is sent again until it is taken.",
    ),
]


def dicom_settings(
    port: int | None, host: str, title: str, peers: list[str] | None, send_to: str | None
) -> DicomSettings | None:
    """Return the settings that the options ask for; None where they ask for nothing.

    Raises:
        BadRequest: If an option is of no use without another, or its value is none.
        MissingExtra: If pynetdicom is not installed.
    """
    if port is None and peers:
        raise BadRequest("--dicom-peer: expected --dicom-port beside it, got none. Name the port to receive at.")
    if port is None and send_to is None:
        return None
    with needs_extra("DICOM on the network", "serve"):
        # Its settings do without it: a missing one is named before anything is opened.
        importlib.import_module("pynetdicom")
        from fundoscope.service.dicom.settings import Destination, DicomSettings, Peer

    return DicomSettings(
        ae_title=title,
        host=host,
        port=port,
        peers=tuple(map(Peer.parse, peers or ())),
        destination=None if send_to is None else Destination.parse(send_to),
    )


def check_network(settings: DicomSettings, opened: OpenRelease) -> None:
    """Refuse, before the service starts, what it could not do.

    Raises:
        BadRelease: If reports are to be sent of a release that does not grade retinopathy: there are no codes for them.
        BadRequest: If the port is taken, or the address is not this computer's.
    """
    if settings.destination is not None:
        _ = opened.grading
    if settings.port is None:
        return
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as problem:
        raise BadRequest(
            f"--dicom-port {settings.port}: expected a port that is free at {settings.host}, got: "
            f"{problem.strerror or problem}. Choose another port or address."
        ) from None


def network_words(settings: DicomSettings) -> str:
    """Return what the console says of the settings."""
    received = f"DICOM: receiving as {settings.ae_title} at {settings.host}:{settings.port}"
    sent = f"reports go to {settings.destination}"
    if settings.destination is None:
        return f"{received}."
    return f"DICOM: {sent}." if settings.port is None else f"{received}; {sent}."
