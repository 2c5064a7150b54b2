"""Manifests and predictions: the two tables that pass between the packages."""

from fundoscope.tables.checks import check_manifest, check_predictions
from fundoscope.tables.columns import MANIFEST_COLUMNS, PREDICTION_COLUMNS, PROBABILITIES, Column
from fundoscope.tables.formats import SUFFIXES, read_table, write_table
from fundoscope.tables.joining import Joined, join
from fundoscope.tables.patients import PatientKey, patient_keys

__all__ = [
    "MANIFEST_COLUMNS",
    "PREDICTION_COLUMNS",
    "PROBABILITIES",
    "SUFFIXES",
    "Column",
    "Joined",
    "PatientKey",
    "check_manifest",
    "check_predictions",
    "join",
    "patient_keys",
    "read_table",
    "write_table",
]
