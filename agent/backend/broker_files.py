"""What Mosquitto needs to know of a fleet: `mosquitto.conf`, and who may publish and read what."""

from __future__ import annotations


def backend_name(operator: int) -> str:
    """Common name of the backend's certificate, by which the broker knows it."""
    return f"backend-{operator}"


def mosquitto_conf(port: int) -> str:
    return _MOSQUITTO_CONF.format(port=port)


def access_list(operator: int) -> str:
    return _ACL.format(operator=operator, backend=backend_name(operator))


_MOSQUITTO_CONF = """# For Mosquitto 2, started in this folder; elsewhere give the files with their whole paths.
listener {port}
# TLS 1.3, and nobody without a certificate of the fleet's CA that is not on the revocation list. The list is read at
# the start: after `carshare-backend revoke car` put the new one here and start the broker anew.
cafile ca.pem
certfile broker.pem
keyfile broker.key
crlfile revoked.crl
require_certificate true
tls_version tlsv1.3
# A client is who its certificate says: a car by its id, the backend by its name.
use_identity_as_username true
allow_anonymous false
acl_file acl
set_tcp_nodelay true
"""

_ACL = """# Who may publish and read what. Commands are signed besides; this keeps cars from reading one another's.
user {backend}
topic read v1/{operator}/+/hello
topic read v1/{operator}/+/res
topic read v1/{operator}/+/evt
topic read v1/{operator}/+/state
topic read v1/{operator}/+/caps
topic read v1/all/+/presence
topic write v1/{operator}/+/cmd
topic write v1/{operator}/+/ping
topic write v1/{operator}/+/bundle

pattern read v1/+/%u/cmd
pattern read v1/+/%u/ping
pattern read v1/+/%u/bundle
pattern write v1/+/%u/hello
pattern write v1/+/%u/res
pattern write v1/+/%u/evt
pattern write v1/+/%u/state
pattern write v1/+/%u/caps
pattern write v1/all/%u/presence
pattern readwrite v1/all/%u/echo
"""
