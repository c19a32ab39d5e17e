"""The client of slurmrestd: each way in which a request ends, and what is known of its outcome."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from emulation import Clock
from slurmrestd_stand_in import HANG_UP, StandIn, answer, refusal, slurmrestd

from slurm_gateway.api_version import ApiVersions
from slurm_gateway.caller import Caller
from slurm_gateway.errors import ApiVersionGoneError
from slurm_gateway.slurm_errors import SlurmOutcomeUnknown, SlurmRefused, SlurmUnreachable
from slurm_gateway.slurmrestd import Slurmrestd

ALICE = Caller(user="alice", token="a-token", expires_at=2_000_000_000)
SUBMIT = "POST /slurm/v0.0.42/job/submit"


@pytest.fixture
def slurm() -> Iterator[StandIn]:
    with slurmrestd() as stand_in:
        yield stand_in


def submit(slurm: StandIn, **how: Any) -> Any:
    return Slurmrestd(slurm.url).submit(ALICE, "v0.0.42", {"job": {}}, **how)


def test_a_request_carries_the_callers_own_name_and_token(slurm: StandIn) -> None:
    slurm.answers[SUBMIT] = answer(job_id=12)

    submit(slurm)

    [(_, _, headers, body)] = slurm.requests
    assert (headers["X-SLURM-USER-NAME"], headers["X-SLURM-USER-TOKEN"]) == ("alice", "a-token")
    assert (headers["Content-Type"], body) == ("application/json", b'{"job":{}}')


def test_bytes_that_are_no_text_do_not_hide_an_answer(slurm: StandIn) -> None:
    status, body = answer(jobs=[{"job_id": 12, "name": "caf?"}])
    slurm.answers["GET /slurm/v0.0.42/jobs/"] = status, body.replace(b"caf?", b"caf\xe9")

    found = Slurmrestd(slurm.url).call(ALICE, "GET", "/slurm/v0.0.42/jobs/")

    assert found.document["jobs"] == [{"job_id": 12, "name": "caf\ufffd"}]


def test_a_job_id_is_a_success_whatever_is_said_beside_it(slurm: StandIn) -> None:
    remark = {"error_number": 2014, "error": "Requested node configuration is not available", "description": "x"}
    slurm.answers[SUBMIT] = answer(
        job_id=12, job_submit_user_msg="hello", errors=[remark], warnings=[{"description": "a warning"}]
    )

    submitted = submit(slurm)

    assert (submitted.job_id, submitted.cluster) == (12, "parallelcluster")
    assert submitted.messages == (
        "hello",
        "x: Requested node configuration is not available (error 2014)",
        "a warning",
    )


@pytest.mark.parametrize(
    ("number", "words", "status"),
    [
        (1007, "Protocol authentication error", 401),
        (2000, "Invalid partition name specified", 422),
        (2002, "Access/permission denied", 403),
        (2010, "Invalid user id", 403),
        (2017, "Invalid job id specified", 404),
        (2021, "Job/step already completing or completed", 409),
        (2050, "Job violates accounting/QOS policy", 409),
        (1804, "Rate limit exceeded, please retry momentarily", 429),
        (11, "Resource temporarily unavailable", 503),
        (2007, "MaxJobCount limit reached", 503),
        (1800, "Unable to contact slurm controller (connect failure)", 503),
        (2027, "Slurm backup controller in standby mode", 503),
        (9202, "Data parser missing field", 422),
        (0, "Operation not permitted", 403),
    ],
)
def test_a_refusal_has_a_fitting_status_and_slurms_own_words_and_number(
    slurm: StandIn, number: int, words: str, status: int
) -> None:
    slurm.answers[SUBMIT] = refusal(number, words)

    with pytest.raises(SlurmRefused) as refused:
        submit(slurm)

    assert refused.value.status == status
    assert words in refused.value.detail
    assert refused.value.members["slurm"] == {"error_number": number, "error": words, "description": "It failed"}


@pytest.mark.parametrize(
    "ending",
    [
        HANG_UP,
        refusal(1801, "Unable to contact slurm controller (send failure)"),
        refusal(1802, "Unable to contact slurm controller (receive failure)"),
        refusal(5004, "Socket timed out on send/recv operation"),
        (502, b"<html>Bad Gateway</html>"),
        (504, b"<html>Gateway Time-out</html>"),
        answer(200),
        (200, b"not JSON"),
    ],
    ids=["hang-up", "send", "receive", "timed-out", "502", "504", "no-id", "no-json"],
)
def test_what_may_have_reached_slurm_is_an_unknown_outcome(slurm: StandIn, ending: tuple[int, bytes]) -> None:
    slurm.answers[SUBMIT] = ending

    with pytest.raises(SlurmOutcomeUnknown) as unknown:
        submit(slurm)

    assert unknown.value.status in {502, 504}


def test_no_answer_in_time_is_an_unknown_outcome() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        client = Slurmrestd(f"http://127.0.0.1:{deaf.getsockname()[1]}")
        with pytest.raises(SlurmOutcomeUnknown) as unknown:
            client.submit(ALICE, "v0.0.42", {}, read_timeout=0.05)

    assert unknown.value.status == 504


@pytest.mark.parametrize(("ending", "status"), [((504, b""), 503), ((502, b""), 502), (HANG_UP, 502)])
def test_a_look_has_no_outcome_that_could_be_unknown(slurm: StandIn, ending: tuple[int, bytes], status: int) -> None:
    slurm.answers["GET /slurm/v0.0.42/job/1"] = ending

    with pytest.raises(SlurmUnreachable) as refused:
        Slurmrestd(slurm.url).call(ALICE, "GET", "/slurm/v0.0.42/job/1")

    assert (refused.value.status, "not known" in refused.value.detail) == (status, False)


def test_what_nobody_listened_to_was_not_done(slurm: StandIn) -> None:
    with pytest.raises(SlurmUnreachable):
        Slurmrestd("http://127.0.0.1:1").submit(ALICE, "v0.0.42", {})
    slurm.answers[SUBMIT] = (503, b"<html>Service Unavailable</html>")
    with pytest.raises(SlurmUnreachable):
        submit(slurm)


def test_a_path_that_is_not_there_is_no_refusal(slurm: StandIn) -> None:
    with pytest.raises(ApiVersionGoneError):
        submit(slurm)


def test_a_connection_that_idled_is_not_used_again(slurm: StandIn) -> None:
    clock = Clock()
    slurm.answers[SUBMIT] = answer(job_id=12)
    client = Slurmrestd(slurm.url, wall_clock=clock)
    client.submit(ALICE, "v0.0.42", {})
    pool = client._pool

    clock.seconds += 29
    client.submit(ALICE, "v0.0.42", {})
    assert client._pool is pool
    clock.seconds += 31
    client.submit(ALICE, "v0.0.42", {})
    assert client._pool is not pool


# ---- API versions ------------------------------------------------------------------------------------------------


def versions(slurm: StandIn) -> ApiVersions:
    return ApiVersions(Slurmrestd(slurm.url))


def test_the_versions_are_found_once_newest_first(slurm: StandIn) -> None:
    slurm.speak("v0.0.40", "v0.0.41", "v0.0.42")
    found = versions(slurm)

    assert found.of_cluster(ALICE) == ("v0.0.42", "v0.0.41", "v0.0.40")
    asked = len(slurm.requests)
    assert found.newest(ALICE) == "v0.0.42"
    assert len(slurm.requests) == asked


def test_they_are_found_again_when_one_is_gone(slurm: StandIn) -> None:
    slurm.speak("v0.0.40", "v0.0.41", "v0.0.42")
    found = versions(slurm)
    found.of_cluster(ALICE)
    slurm.speak("v0.0.43", "v0.0.44", "v0.0.45", release="26.11.0")
    tried = []

    def request(spoken: tuple[str, ...]) -> str:
        tried.append(spoken[0])
        if spoken[0] == "v0.0.42":
            raise ApiVersionGoneError("gone")
        return "done"

    assert found.using(ALICE, request) == "done"
    assert tried == ["v0.0.42", "v0.0.45"]


def test_they_are_found_again_when_an_answer_comes_from_another_release(slurm: StandIn) -> None:
    slurm.speak("v0.0.42")
    client = Slurmrestd(slurm.url)
    found = ApiVersions(client)
    found.of_cluster(ALICE)
    slurm.speak("v0.0.42", "v0.0.43", release="25.05.1")
    slurm.answers["GET /slurm/v0.0.42/job/1"] = answer(release="25.05.1")

    client.call(ALICE, "GET", "/slurm/v0.0.42/job/1")

    assert found.newest(ALICE) == "v0.0.43"


def test_a_cluster_that_speaks_no_known_version_is_told_so(slurm: StandIn) -> None:
    with pytest.raises(SlurmUnreachable) as refused:
        versions(slurm).of_cluster(ALICE)

    assert refused.value.kind == "slurm-api-version"


def test_a_version_whose_ping_is_refused_is_there_all_the_same(slurm: StandIn) -> None:
    slurm.answers["GET /slurm/v0.0.42/ping/"] = refusal(1007, "Protocol authentication error", 401)

    assert versions(slurm).of_cluster(ALICE) == ("v0.0.42",)


def test_no_answer_leaves_the_versions_unknown(slurm: StandIn) -> None:
    slurm.answers["GET /slurm/v0.0.45/ping/"] = [(502, b"Bad Gateway")]
    slurm.answers["GET /slurm/v0.0.42/ping/"] = answer()
    found = versions(slurm)

    with pytest.raises(SlurmUnreachable):
        found.of_cluster(ALICE)
    del slurm.answers["GET /slurm/v0.0.45/ping/"]
    assert found.of_cluster(ALICE) == ("v0.0.42",)


def test_a_token_is_in_no_representation() -> None:
    assert "a-token" not in repr(ALICE)
