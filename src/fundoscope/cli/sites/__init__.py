"""Verbs that fit a release to a site and watch it there."""
