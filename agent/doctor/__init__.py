"""`carshare-agent doctor`: what is missing on an installed car. Facts are gathered here, judged in `checks`."""
