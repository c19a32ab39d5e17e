"""Warm verification: the CPU time of one request in a running authorizer that holds its keys.

`python -m bench.verify` needs no AWS: the key is made here, and the request is the whole handler's.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from slurm_gateway.edge import EdgeAuthorizer
from slurm_gateway.users import forbidden_names
from slurm_gateway.verification import Verifier

ROUNDS = 40
CALLS = 100
LIMIT = 1.0
KID = "00000000-0000-4000-8000-000000000000"


def measure() -> list[float]:
    """Return the milliseconds of CPU for a request, one figure a round of `CALLS` requests."""
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = int(time.time())
    claims = {"iat": now, "exp": now + 900, "sun": "alice", "iss": "slurm-gateway"}
    token = jwt.encode(claims, private_key, algorithm="RS256", headers={"kid": KID})
    event: dict[str, Any] = {
        "routeKey": "ANY /slurm/{version}/{proxy+}",
        "headers": {"x-slurm-user-name": "alice", "x-slurm-user-token": token},
        "requestContext": {"requestId": "bench", "http": {"sourceIp": "192.0.2.1"}},
    }
    authorizer = EdgeAuthorizer(
        Verifier(lambda: {KID: private_key.public_key()}),
        forbidden=forbidden_names(default_user_sudo=True),
        allow_head_node_tokens=False,
    )
    if not authorizer(event)["isAuthorized"]:
        raise SystemExit("the authorizer refused a good token")
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(CALLS):
            authorizer(event)
        times.append((time.process_time() - started) * 1000 / CALLS)
    return times


def main() -> int:
    """Print the median; return 1 if it is beyond the limit."""
    times = measure()
    median = statistics.median(times)
    print(f"Warm verify, CPU of one request, {ROUNDS} x {CALLS} requests (limit {LIMIT:.0f} ms)")
    print(f"{'authorizer':<32} median {median:.3f} ms   best {min(times):.3f} ms   worst {max(times):.3f} ms")
    return int(median > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
