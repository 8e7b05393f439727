"""carshare-agent: the in-car agent of a shared vehicle."""

import os

__version__ = "0.1.0"

# pydantic asks every installed package whether it wants a say in how configurations are read: none has one here, and
# asking takes a tenth of the start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
