"""fantom-trio: a chat between two people with nobody in between."""

__version__ = "0.1.0"
