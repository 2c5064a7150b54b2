"""`fundoscope serve`: the REST service, in one process."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fundoscope.cli.console import needs_extra, print_command, print_json, print_text, troubles
from fundoscope.cli.service import network
from fundoscope.cli.service.options import FOLDER, DatabaseUrl, Folder, service_database
from fundoscope.errors import BadRequest
from fundoscope.files import sha256_of

if TYPE_CHECKING:
    from fundoscope.runtime.grader import Grader
    from fundoscope.service.app import Extension
    from fundoscope.service.dicom.settings import DicomSettings
    from fundoscope.service.settings import ServiceSettings
    from fundoscope.service.store.shadow import ShadowStart


def serve(
    folder: Folder = FOLDER,
    database: DatabaseUrl = None,
    host: Annotated[str, typer.Option(help="Address to listen at. By default only this computer reaches it.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at. 0: any that is free.")] = 8017,
    release: Annotated[
        Path | None,
        typer.Option(
            help="Release to grade with: a folder or .zip. Default: the active one, at the first start the one that "
            "ships."
        ),
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a commissioned site, to retouch its dust. Dust on its camera's sensor is retouched before "
            "grading. If it is a commissioned copy of a release, that is served."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Photographs graded side by side. Default: one for each core.")
    ] = None,
    queue: Annotated[
        int, typer.Option(min=1, help="Photographs that may wait. Further ones are refused with status 429.")
    ] = 256,
    upload: Annotated[int, typer.Option(min=1, max=512, metavar="MIB", help="Largest photograph, in MiB.")] = 64,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="HOST", help="Host name by which clients call it. Can be repeated."),
    ] = None,
    https: Annotated[
        bool, typer.Option("--https", help="A proxy in front of it ends HTTPS. Cookies are sent by HTTPS only.")
    ] = False,
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate (PEM), to serve HTTPS itself. With --key.")
    ] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="Key of the certificate (PEM).")] = None,
    dicom_port: network.Port = None,
    dicom_host: network.Host = "127.0.0.1",
    dicom_title: network.Title = "FUNDOSCOPE",
    dicom_peer: network.Peers = None,
    dicom_send_to: network.SendTo = None,
    shadow: Annotated[
        bool | None,
        typer.Option(
            "--shadow/--no-shadow",
            help="Keep answers and show them to nobody, until --no-shadow. Readers' grades are compared with them "
            "(fundoscope service shadow). Default: as at the last start.",
        ),
    ] = None,
    shadow_patients: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Referable patients to read before figures. Of shadow mode. Default: 75."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print its address and release as JSON. Also its folder, once it runs.")
    ] = (False),
) -> None:
    """Accept photographs over HTTP, grade them and show the answers, until Ctrl-C or SIGTERM.

    Stopping waits for the photographs that are being graded; the others are graded after the next start.

    Exit status: 0 stopped, 2 it cannot be started.
    """
    with needs_extra("fundoscope serve", "serve"):
        from fundoscope.service.app import create_app
        from fundoscope.service.server import run_service, sole_service
        from fundoscope.service.settings import PHOTOGRAPHS_PER_REQUEST, ServiceSettings

    if (certificate is None) != (key is None):
        raise BadRequest("--certificate: expected --key beside it, got one of the two. Give both.")
    settings = ServiceSettings(
        folder=folder,
        database=database,
        host=host,
        port=port,
        release=release,
        site=site,
        workers=workers,
        hosts=tuple(name or ()),
        https=https or certificate is not None,
        upload_bytes=upload * 2**20,
        queue_length=queue,
        photographs_per_request=min(queue, PHOTOGRAPHS_PER_REQUEST),
        shadow=shadow,
        shadow_patients=shadow_patients,
    )
    _check_reach(settings)
    dicom = network.dicom_settings(dicom_port, dicom_host, dicom_title, dicom_peer, dicom_send_to)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with sole_service(folder):
        grader = open_grader(*_release_and_site(settings), settings.workers)
        if dicom is not None:
            network.check_network(dicom, grader.opened)
        app = create_app(settings, grader, extensions=_extensions(dicom))
        missing, service = _missing_users(settings), app.state.service

        def started(address: str) -> None:
            if as_json:
                facts = {"address": address, "release": grader.opened.name, "folder": str(folder)}
                print_json(facts | {"shadow": service.shadow.is_on})
                return
            print_text(f"Serving at {address} with {grader.opened.name}, folder {folder}.")
            if dicom is not None:
                print_text(network.network_words(dicom))
            for sentence in shadow_words(service.shadow):
                print_text(sentence)
            if missing:
                print_command("Nobody may use it yet. Add a user", missing)

        run_service(app, settings, started=started, certificate=certificate, key=key)


def shadow_words(start: ShadowStart) -> list[str]:
    """Return what the console says of shadow mode, given what the start made of it."""
    if start.is_on:
        return ["Shadow mode: answers are kept, shown to nobody and sent nowhere, until serve --no-shadow."]
    if not start.shown_from_now:
        return []
    cases = f"{start.shown_from_now} case{'' if start.shown_from_now == 1 else 's'}"
    return [f"Shadow mode is over: the answers to {cases} can be seen from now on. No reports on them are sent."]


def _extensions(dicom: DicomSettings | None) -> list[Extension]:
    """Return what runs beside the application."""
    if dicom is None:
        return []
    from fundoscope.service.dicom.network import dicom_network

    return [partial(dicom_network, settings=dicom)]


def _check_reach(settings: ServiceSettings) -> None:
    """Refuse to send passwords and photographs over a network that anybody can listen to."""
    if not settings.is_loopback and not settings.https:
        raise BadRequest(
            f"--host {settings.host}: expected HTTPS for an address that other computers reach, got none. Give "
            "--certificate and --key, or --https where a proxy in front of it ends HTTPS."
        )


def _release_and_site(settings: ServiceSettings) -> tuple[Path | None, Path | None]:
    """Return the release and the site to serve: where none are named the active release, with the map that it holds.

    What the package ships with takes the place of no release that is active.
    """
    from fundoscope.clinic.commissioning.site import open_site
    from fundoscope.photo.artefacts.dust_map import DUST_MAP
    from fundoscope.runtime.description import DESCRIPTION
    from fundoscope.runtime.release import default_release
    from fundoscope.service.settings import DATABASE
    from fundoscope.service.store.releases import active_release
    from fundoscope.service.work.releases import kept_release

    is_new = settings.database is None and not (settings.folder / DATABASE).is_file()
    if settings.release is not None or is_new:
        return settings.release, settings.site
    if settings.site is not None and open_site(settings.site).release is not None:
        return None, settings.site  # the site's folder is a release
    with service_database(settings.folder, settings.database) as database, database.reading() as session:
        active = active_release(session)
    kept = None if active is None else kept_release(settings.folder, active)
    if kept is None or active is None:
        return None, settings.site
    if sha256_of(default_release() / DESCRIPTION)[: len(active.rpartition("@")[2])] != active.rpartition("@")[2]:
        print_text(
            f"Note: active is {active}, and the package ships with another release. See what that would change with: "
            f"fundoscope service look-back --folder {settings.folder}",
            to=troubles,
        )
    return kept, settings.site or (kept if (kept / DUST_MAP).is_file() else None)


def open_grader(release: Path | None, site_folder: Path | None, workers: int | None) -> Grader:
    """Open a release, for a site if one is named, and print what is to be known of its commissioning.

    Args:
        release: A folder or .zip; None: the site's copy, or the one that ships.
        site_folder: Folder of a commissioned site.
        workers: Photographs graded side by side; None: one for each core.
    """
    from fundoscope.cli.grading.grade import say_of_unused_map
    from fundoscope.clinic.commissioning.site import check_site, open_site
    from fundoscope.runtime.grader import Grader

    if site_folder is None:
        grader = Grader.open(release, threads=workers)
        say_of_unused_map(grader.opened)
        return grader
    site = open_site(site_folder)
    is_copy = release is None and site.release is not None
    grader = Grader.open(site_folder if is_copy else release, threads=workers, dust=site.dust)
    for sentence in check_site(site, grader.opened):
        print_text(f"Note: {sentence}", to=troubles)
    return grader


def _missing_users(settings: ServiceSettings) -> str | None:
    """Return the command that adds the first user; None where there is one."""
    from fundoscope.service.store.accounts import all_users

    with service_database(settings.folder, settings.database) as database, database.reading() as session:
        if all_users(session):
            return None
    return f"fundoscope service user add NAME --role read --folder {settings.folder}"
