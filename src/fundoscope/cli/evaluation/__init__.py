"""Verbs that judge releases and their tables."""
