"""Readings to vehicle state."""
