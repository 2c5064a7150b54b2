"""Verbs of the service: who may use it, what its log says, and running it."""
