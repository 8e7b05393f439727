"""Facts in, findings out: no check here looks at anything itself."""
