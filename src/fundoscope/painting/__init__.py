"""Painted retinas, whose truth is known: for tests, examples and teaching. Nobody's eye was photographed."""

from fundoscope.painting.retina import FRAMINGS, Painted, RetinaSpec, paint_retina

__all__ = ["FRAMINGS", "Painted", "RetinaSpec", "paint_retina"]
