"""`carshare-agent profile`: what helps a person from a recording to a profile that tells the truth."""
