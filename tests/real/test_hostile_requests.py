"""Whatever is written on the wire: nobody becomes somebody else, and nothing but three prefixes reaches slurmrestd."""

from __future__ import annotations

import re
import socket
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.real import framing_variants, header_variants, path_variants
from tests.real.conftest import NATIVE_VERSION, Stack, slurm, wait_for
from tests.real.header_variants import Known, Variant
from tests.real.raw_http import connect, exchange, in_parallel, pair, request
from tests.real.way_logs import WayLogs

AT_LEAST = 2000
SECRET = f"secret-of-bob-{uuid.uuid4().hex}"
ALLOWED = re.compile(r"[A-Z]+ /(slurm|slurmdb|openapi)(/|$)")
CLASSES: dict[str, Callable[[Known], Iterator[Variant]]] = {
    made.__name__: made
    for made in (
        header_variants.identities, path_variants.upwards, path_variants.spellings, path_variants.absolute,
        path_variants.methods, framing_variants.smuggled, framing_variants.odd_bytes, framing_variants.sizes,
    )
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_jobs_left() -> None:
    """The jobs here are needed until the last test; `known` cancels them."""


@pytest.fixture(scope="module")
def known(stack: Stack) -> Iterator[Known]:
    def token(user: str) -> str:
        return slurm("scontrol", "token", f"username={user}", "lifespan=1200").strip().removeprefix("SLURM_JWT=")

    # These are kept for the whole module.
    stack._tokens.clear()
    yield Known(
        alice=stack.token("alice"),
        bob=stack.token("bob"),
        unverified={user: token(user) for user in ("root", "slurm", "alice", "bob")},
        alices_job=stack.submit("alice", name="own", hold=True),
        bobs_job=stack.submit("bob", name=SECRET, comment=SECRET, hold=True),
    )
    slurm("scancel", "--user=alice")
    slurm("scancel", "--user=bob")


@pytest.fixture(scope="module")
def sent() -> dict[str, int]:
    """How many variants were sent, by class."""
    return {}


@pytest.mark.parametrize("name", CLASSES)
def test_a_request_is_nobody_elses_and_goes_nowhere_else(
    stack: Stack, known: Known, sent: dict[str, int], name: str
) -> None:
    variants = list(CLASSES[name](known))
    assert len({variant.name for variant in variants}) == len(variants)
    before = slurm("scontrol", "show", "job", str(known.bobs_job))
    logs = WayLogs(stack)

    answers = in_parallel(lambda variant: exchange(stack, variant.data), variants)

    told = list(zip(variants, answers, strict=True))
    assert [variant.name for variant, answer in told if SECRET.encode() in answer.wire] == []
    assert [(variant.name, answer.statuses) for variant, answer in told
            if variant.refused and any(status < 400 for status in answer.statuses)] == []  # fmt: skip
    passed = logs.passed()
    # What the load balancer itself takes for no request it logs without its path, and passes on to nobody.
    lines = [line for line in passed.balanced if line != "<BADREQ> <BADREQ>"] + passed.routed
    assert [line for line in lines if not ALLOWED.match(line) or "smuggled" in line] == []
    assert slurm("scontrol", "show", "job", str(known.bobs_job)) == before
    sent[name] = len(variants)


def test_every_job_that_came_of_it_is_alices(stack: Stack, known: Known, sent: dict[str, int]) -> None:
    listed = slurm("squeue", "--noheader", "--format=%j %u").split("\n")
    users = [line.split()[1] for line in listed if line.startswith("variant-")]
    # Most tricks are harmless: were all refused, nothing would have been shown.
    assert len(users) > 50
    assert set(users) == {"alice"}


def test_what_the_edge_has_not_verified_never_reaches_slurmrestd(stack: Stack, known: Known) -> None:
    """Not even beside a good pair that is dropped on the way."""
    logs = WayLogs(stack)
    for who, token in known.unverified.items():
        for dropped in (b"X-SLURM-USER-TOKEN", b"x-slurm-user-token, X-SLURM-USER-NAME"):
            lines = [*known.pair, b"Authorization: Bearer " + token.encode(), b"Connection: " + dropped]
            asked = request("GET", f"/slurm/{NATIVE_VERSION}/node/bearer", lines).replace(
                b"Connection: close\r\n", b"", 1
            )
            assert exchange(stack, asked).status == 401, who
    passed = logs.passed()
    assert len(passed.balanced) == 2 * len(known.unverified)
    assert passed.routed == []


def test_slow_and_half_open_clients_keep_nobody_waiting(stack: Stack, known: Known, sent: dict[str, int]) -> None:
    whole = request("POST", f"/slurm/{NATIVE_VERSION}/job/{known.bobs_job}", [*known.pair, b"Content-Length: 1000"])
    logs = WayLogs(stack)
    opened: list[socket.socket] = []
    try:
        for number in range(250):
            connection = connect(stack)
            # Nothing at all, half a head, a head without its body, or a body that stops.
            connection.sendall((b"", whole[: len(whole) // 2], whole, whole + b"{")[number % 4])
            opened.append(connection)
        started = time.monotonic()
        for _ in range(20):
            answer = exchange(stack, request("GET", f"/slurm/{NATIVE_VERSION}/job/{known.alices_job}", known.pair))
            assert answer.status == 200
            for connection in opened[1::4]:
                connection.sendall(b"a")
        assert time.monotonic() - started < 30
        passed = logs.passed()
        assert [line for line in passed.balanced if "POST" in line] == []
    finally:
        for connection in opened:
            connection.close()
    wait_for(lambda: exchange(stack, request("GET", "/jobs", known.pair)).status == 200, "an answer afterwards")
    sent["slow_and_half_open"] = len(opened)


def test_variants_are_counted(sent: dict[str, int], report: Callable[[str], None]) -> None:
    counts = ", ".join(f"{name} {count}" for name, count in sent.items())
    report(f"request variants: {sum(sent.values())}, 0 bypasses ({counts})")
    assert set(sent) == {*CLASSES, "slow_and_half_open"}
    assert sum(sent.values()) >= AT_LEAST


def test_a_good_request_still_passes(stack: Stack, known: Known) -> None:
    asked = request("GET", f"/slurm/{NATIVE_VERSION}/job/{known.bobs_job}", pair("bob", known.bob))
    assert SECRET.encode() in exchange(stack, asked).wire
