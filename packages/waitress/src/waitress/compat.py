"""What differs between systems, by the names of waitress 3.0.

For programs that read `WIN` or `HAS_IPV6` before they choose where to listen; nothing here uses them.
"""

import socket
import sys

from waitress_core.config.addresses import IPPROTO_IPV6, IPV6_V6ONLY

from ._modules import old_module

__all__ = ["HAS_IPV6", "IPPROTO_IPV6", "IPV6_V6ONLY", "MAXINT", "WIN"]

WIN = sys.platform == "win32"
MAXINT = sys.maxsize
HAS_IPV6 = socket.has_ipv6


old_module(__name__, "platform warnings")
