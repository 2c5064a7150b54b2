"""Verbs that answer for photographs with a release."""
