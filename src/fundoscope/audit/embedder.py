"""Feature vectors of photographs, as a release's network computes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from fundoscope.arrays import Photo
from fundoscope.photo.fov import Field
from fundoscope.photo.recipe import prepare
from fundoscope.runtime.backends.network import open_network
from fundoscope.runtime.backends.sessions import Network
from fundoscope.runtime.description import MODEL
from fundoscope.runtime.release import OpenRelease


@dataclass(frozen=True, slots=True)
class ReleaseEmbedder:
    """Computes features with a release's network; a `duplicates.fingerprint.Embedder`."""

    opened: OpenRelease
    network: Network

    @classmethod
    def open(cls, opened: OpenRelease) -> ReleaseEmbedder:
        """Load the release's network for one core.

        Raises:
            BadRelease: If it cannot be run.
        """
        return cls(opened, open_network(opened))

    @property
    def key(self) -> str:
        """The first 16 hexadecimal digits of the network's SHA-256."""
        return self.opened.release.files[MODEL][:16]

    @property
    def decode_px(self) -> int:
        """Shortest side that the release's recipe wants a photograph decoded at, in px."""
        return self.opened.recipe.decode_px

    def features(self, photo: Photo, field: Field | None) -> Float32[np.ndarray, " feature"]:
        """Return the mean features of the photograph and its mirror image, of length 1."""
        canvas = prepare(photo, self.opened.recipe, field=field).canvas
        pictures = np.stack([canvas, canvas[:, ::-1]])
        if self.opened.release.eyes == 2:  # alone: the features are the photograph's own, whatever stands beside it
            pictures = np.stack([pictures, np.zeros_like(pictures)], axis=1)
        both = self.network.run(pictures).features.mean(axis=0)
        return np.asarray(both / max(float(np.linalg.norm(both)), 1e-6), dtype=np.float32)
