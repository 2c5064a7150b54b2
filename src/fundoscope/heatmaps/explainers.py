"""Explain photographs: heatmaps of a release or of trained networks, written beside the lesions that are known.

Trained networks come in as objects that satisfy `Explainer` (`training.runs.explainer` implements it).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import pandas as pd

from fundoscope.arrays import Mask
from fundoscope.data.manifest import picture_paths, read_manifest
from fundoscope.errors import BadRequest, BadTable
from fundoscope.files import sha256_of
from fundoscope.heatmaps.masks import read_mask
from fundoscope.photo.artefacts.dust_map import DUST_MAP
from fundoscope.runtime.backends.network import DEFAULT_BACKEND
from fundoscope.runtime.destinations import NO_INPUTS, Inputs
from fundoscope.runtime.explanation.explain import Explained, by_release
from fundoscope.runtime.explanation.stored import Request, Row, explain_listed
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.listing.inputs import Listed
from fundoscope.tables.columns import MASK_COLUMNS


@runtime_checkable
class Explainer(Protocol):
    """Networks that explain photographs one by one."""

    @property
    def request(self) -> Request:
        """Which networks explain what, by which methods."""

    def explain(self, photo: Path | str, fellow: Path | str | None = None) -> Explained:
        """Explain one photograph; what is wrong with it is in `reading.status`, never raised.

        Args:
            photo: Its file.
            fellow: The patient's other eye, for networks of both eyes.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseExplainer:
    """A release that explains its own answer by the heatmap that it exports."""

    grader: Grader
    request: Request

    @classmethod
    def open(cls, release: Path | str | None = None, *, backend: str = DEFAULT_BACKEND) -> ReleaseExplainer:
        """Open a release; None for the one that ships with the package.

        Raises:
            BadRelease: As `Grader.open`.
            BadRequest: If it exports no heatmap.
        """
        grader = Grader.open(release, backend=backend)
        name, heatmap = grader.opened.name, grader.opened.release.heatmap
        if heatmap == "none":
            raise BadRequest(f"{name}: expected a release with a heatmap, got one without. Give --checkpoint instead.")
        # Explanations by one backend are not passed off as those by another, so the backend is part of the request.
        network = name if backend == DEFAULT_BACKEND else f"{name}, computed by {grader.program}"
        return cls(grader=grader, request=Request(network=network, methods=(heatmap,), layers=(), target="answer"))

    def explain(self, photo: Path | str, fellow: Path | str | None = None) -> Explained:
        """Explain one photograph, see `Explainer`."""
        return by_release(self.grader, photo, fellow)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the heatmaps has to know."""
        opened = self.grader.opened
        shown, why = opened.heatmap_state
        notes = [] if shown else [f"{opened.name}: its heatmap is {why}. Reports do not show it."]
        if DUST_MAP in opened.release.files:
            notes.append(
                f"{opened.name} was commissioned with photographs retouched by its {DUST_MAP}: here they are explained "
                "as they are, and answers may differ from those of grade --site."
            )
        return tuple(notes)

    def check_request(self, *, methods: Sequence[str] = (), layers: Sequence[str] = (), target: str = "answer") -> None:
        """Refuse methods, layers and targets that a release does not have.

        Raises:
            BadRequest: If something else is wanted than its own heatmap of its answer.
        """
        (own,) = self.request.methods
        refused = [f"--method {method}" for method in methods if method != own]
        refused += [f"--layer {layer}" for layer in layers]
        refused += [] if target == self.request.target else [f"--target {target}"]
        if refused:
            raise BadRequest(
                f"{refused[0]}: expected what release {self.grader.opened.name} has inside, {own} of its answer. "
                "Leave it out, or give the trained run with --checkpoint."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionMasks:
    """Masks of a manifest, found by the file of a photograph or by its hash."""

    manifest: Path
    frame: pd.DataFrame
    columns: tuple[str, ...]
    """Columns of masks that the manifest has."""
    row_of_file: dict[Path, int]
    row_of_hash: dict[str, int]

    @classmethod
    def read(cls, manifest: Path) -> LesionMasks:
        """Read a manifest with columns of masks.

        Raises:
            BadTable: If the manifest is not usable or has no such column.
        """
        frame = read_manifest(manifest)
        columns = tuple(name for name in MASK_COLUMNS if name in frame)
        if not columns:
            raise BadTable(
                f"{manifest}: expected a column of {', '.join(MASK_COLUMNS)}, got none. Give a manifest with masks, or "
                "leave --lesions out."
            )
        hashes = frame["sha256"] if "sha256" in frame else pd.Series(dtype=object)
        return cls(
            manifest=manifest,
            frame=frame,
            columns=columns,
            row_of_file={path.resolve(): row for row, path in enumerate(picture_paths(frame, manifest))},
            row_of_hash={str(sha256): row for row, sha256 in enumerate(hashes) if not pd.isna(sha256)},
        )

    @property
    def files(self) -> Inputs:
        """The manifest and all masks that it names."""
        cells = (cell for name in self.columns for cell in self.frame[name] if not pd.isna(cell))
        return Inputs.of([self.manifest, *(self.manifest.parent / str(cell) for cell in cells)])

    def of(self, photograph: Listed) -> dict[str, Mask]:
        """Read the masks of a photograph by column; none where the manifest does not list it.

        Raises:
            BadTable: If a mask cannot be read.
        """
        row = self.row_of_file.get(photograph.path.resolve())
        if row is None and self.row_of_hash and photograph.path.is_file():
            row = self.row_of_hash.get(sha256_of(photograph.path))
        if row is None:
            return {}
        cells = self.frame.iloc[row]
        folder = self.manifest.parent
        return {name: read_mask(folder / str(cells[name]), name) for name in self.columns if not pd.isna(cells[name])}


def explain_photographs(
    photographs: Sequence[Listed],
    folder: Path,
    explainer: Explainer,
    *,
    lesions: LesionMasks | None = None,
    force: bool = False,
) -> Iterator[Row]:
    """Explain photographs into a folder; yield one row for each, in order. What is explained already is left as it is.

    Args:
        photographs: Each `image` once.
        folder: Receives pictures, raw heatmaps and `explanations.json`; made where absent.
        explainer: The networks.
        lesions: Masks to outline beside the heatmaps; None: none.
        force: Explain everything again.

    Raises:
        BadRequest: If the folder holds explanations of another request.
        BadTable: If a mask cannot be read.
    """
    return explain_listed(
        photographs,
        folder,
        explainer.request,
        lambda photograph: explainer.explain(photograph.path, photograph.fellow),
        lesions=None if lesions is None else lesions.of,
        force=force,
        inputs=NO_INPUTS if lesions is None else lesions.files,
    )
