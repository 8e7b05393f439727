"""The bench: a virtual car, an embedded broker, and the one command that runs a whole ride on one machine."""
