"""The version of the package, which everything that is written for others names."""

__version__ = "0.1.0"
