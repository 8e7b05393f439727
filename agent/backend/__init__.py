"""The other end: an operator's library and command line."""
