"""A vehicle, from text to types."""
