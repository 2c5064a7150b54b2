"""Painted retinas and scans, whose truth is known: for tests, examples and teaching. Nobody's eye was photographed."""

from fundoscope.painting.retina import FRAMINGS, Painted, RetinaSpec, paint_retina
from fundoscope.painting.scan import SIGNS, PaintedScan, ScanSpec, paint_scan

__all__ = ["FRAMINGS", "SIGNS", "Painted", "PaintedScan", "RetinaSpec", "ScanSpec", "paint_retina", "paint_scan"]
