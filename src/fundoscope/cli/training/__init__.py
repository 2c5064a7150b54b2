"""Verbs that prepare data and train."""
