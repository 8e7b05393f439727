"""The edge: the only code that may block, fail or lie."""
