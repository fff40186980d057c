"""The one number of this version: what caches read, and `prac.__version__` hands on."""

__version__ = "0.1.0"
