"""From signed bytes to a verified outcome: envelope, verification, freshness, and the life of one running command."""
