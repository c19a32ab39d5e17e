"""The X-Amzn-Trace-Id header.

Source: AWS X-Ray Developer Guide, "Tracing header": Root=1-TIME-RANDOM with 8 and 24 hexadecimal digits.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.gateway.messages import Request

HEADER = "X-Amzn-Trace-Id"
_TRACE_ID = re.compile(r"[A-Za-z0-9=;:-]{1,200}")


def trace_id(request: Request) -> str:
    """Give the client's trace id where it has one, else a new one."""
    given = request.header(HEADER)
    if given is not None and _TRACE_ID.fullmatch(given):
        return given
    return f"Root=1-{int(time.time()):08x}-{os.urandom(12).hex()}"
