"""carshare-agent: the in-car agent of a shared vehicle."""

__version__ = "0.1.0"
