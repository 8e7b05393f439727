"""The nouns of the agent: frozen values without behaviour beyond their own invariants."""
