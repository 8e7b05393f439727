"""Decisions to publications."""
