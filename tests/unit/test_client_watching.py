"""Waiting for jobs and following what they print, by polling as slowly as the gateway asks for."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_stand_in import StandIn, gateway
from slurm_gateway_client import exit_status, output
from slurm_gateway_client.errors import Interrupt, InterruptedWaitError, NotFoundError, RefusedError, UnreachableError
from slurm_gateway_client.following import Follower, follow
from slurm_gateway_client.gateway import Gateway, Reading
from slurm_gateway_client.interrupts import Stop
from slurm_gateway_client.output import NoOutputError, Output, tasks
from slurm_gateway_client.parallel import in_parallel
from slurm_gateway_client.screen import Screen
from slurm_gateway_client.settings import Settings
from slurm_gateway_client.tokens import Token, Tokens
from slurm_gateway_client.waiting import Waiting
from slurm_gateway_client.watching import Watch


def job(state: str, job_id: str = "1", **more: Any) -> dict[str, Any]:
    return {
        "id": job_id, "state": state, "state_flags": [], "state_reason": None, "exit_code": None, "signal": None,
        "start_time": "2026-11-21T10:00:00Z", "tasks": None, "stdout": "/x", "stderr": "/x", **more,
    }  # fmt: skip


class Readings:
    """Gives readings in turn, and remembers when it was asked, and with which ETag."""

    def __init__(self, *readings: Any) -> None:
        self.readings = list(readings)
        self.now = 0.0
        self.asked: list[tuple[float, str]] = []

    def __call__(self, _job_id: str, etag: str) -> Reading:
        self.asked.append((self.now, etag))
        reading = self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]
        if isinstance(reading, Exception):
            raise reading
        assert isinstance(reading, Reading)
        return reading

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def run(self) -> tuple[list[dict[str, Any]], list[str]]:
        seen: list[str] = []
        waiting = Waiting(self, ["1"], changed=lambda job: seen.append(job["state"]), clock=lambda: self.now)
        while not waiting.is_over():
            self.wait(waiting.step())
        return waiting.ended(), seen


def test_it_asks_as_seldom_as_retry_after_says_and_sends_the_etag_back() -> None:
    readings = Readings(
        Reading(job("PENDING"), '"a"', 2.0), Reading(None, '"a"', 7.0), Reading(job("RUNNING"), '"b"', 30.0),
        Reading(job("COMPLETED"), '"c"', None),
    )  # fmt: skip
    ended, seen = readings.run()
    assert readings.asked == [(0.0, ""), (2.0, '"a"'), (9.0, '"a"'), (39.0, '"b"')]
    assert seen == ["PENDING", "RUNNING", "COMPLETED"]
    assert ended == [job("COMPLETED")]


def test_job_that_is_completing_or_requeued_has_not_ended() -> None:
    readings = Readings(
        Reading(job("COMPLETED", state_flags=["COMPLETING"]), "", 2.0),
        Reading(job("NODE_FAIL", state_flags=["REQUEUED"]), "", 2.0),
        Reading(job("COMPLETED"), "", None),
    )  # fmt: skip
    readings.run()
    assert len(readings.asked) == 3


def test_job_that_is_in_no_record_any_more_ends_as_unknown() -> None:
    gone = NotFoundError("gone", status=404, problem={"type": "urn:slurm-gateway:problem:job-not-found"})
    [ended], _ = Readings(Reading(job("RUNNING"), "", 2.0), gone).run()
    assert ended["state"] == "UNKNOWN"
    assert exit_status.of_job(ended) == 245
    with pytest.raises(NotFoundError):
        Readings(gone).run()


def test_route_that_is_not_there_for_a_moment_does_not_end_the_wait(stand_in: StandIn) -> None:
    stand_in.says(200, job("RUNNING"), ETag='"a"', Retry_After="0")
    stand_in.says(404, {"message": "Not Found"}).says(404, {"message": "Not Found"})
    stand_in.says(200, job("COMPLETED", exit_code=0), ETag='"b"')
    ours = gateway_of(stand_in, patience=900.0, wait=NO_WAIT)
    [ended] = ours.wait(["1"], wait=NO_WAIT)
    assert ended["state"] == "COMPLETED"


def test_requeue_whose_outcome_is_not_known_is_not_sent_again(stand_in: StandIn) -> None:
    stand_in.says(504)
    with pytest.raises(UnreachableError, match="504"):
        gateway_of(stand_in, wait=NO_WAIT).change("1", requeue=True)
    assert len(stand_in.asked) == 1


def test_route_that_stays_away_is_a_gateway_that_is_down_and_no_job_that_is_gone(stand_in: StandIn) -> None:
    stand_in.says(404, {"message": "Not Found"})
    ours = gateway_of(stand_in)
    with pytest.raises(UnreachableError, match="404: API Gateway says 'Not Found'"):
        ours.read("1", '"a"')
    with pytest.raises(NotFoundError):
        ours.read("1")


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        (job("COMPLETED", exit_code=0), 0),
        (job("FAILED", exit_code=3), 3),
        (job("FAILED", exit_code=0, signal=15), 143),
        (job("FAILED", signal=9), 137),
        (job("FAILED", exit_code=0), 1),
        (job("FAILED"), 1),
        (job("FAILED", exit_code=3, signal=9), 137),
        (job("CANCELLED", exit_code=0), 240),
        (job("CANCELLED", exit_code=0, signal=15), 240),
        (job("REVOKED", exit_code=0), 240),
        (job("TIMEOUT", exit_code=0, signal=15), 241),
        (job("DEADLINE", exit_code=0), 241),
        (job("NODE_FAIL", exit_code=0), 242),
        (job("BOOT_FAIL", exit_code=0), 242),
        (job("OUT_OF_MEMORY", exit_code=0, signal=125), 243),
        (job("PREEMPTED", exit_code=0), 244),
        (job("UNKNOWN"), 245),
        (job("SOMETHING_NEW", exit_code=0), 1),
    ],
)
def test_exit_status_of_each_state(ended: dict[str, Any], status: int) -> None:
    assert exit_status.of_job(ended) == status


def test_documented_statuses_are_distinct_and_only_completed_is_green() -> None:
    own = [240, 241, 242, 243, 244, 245, 246, 247, 248]
    assert own == [exit_status.CANCELLED, exit_status.TIMED_OUT, exit_status.NODE_FAILED, exit_status.OUT_OF_MEMORY,
            exit_status.PREEMPTED, exit_status.UNKNOWN, exit_status.UNREACHABLE, exit_status.NOT_AUTHENTICATED,
            exit_status.REFUSED]  # fmt: skip
    assert [int(status) for status, _ in exit_status.MEANINGS if status.isdigit() and int(status) > 200] == own
    assert exit_status.of_jobs([job("COMPLETED", exit_code=0), job("CANCELLED"), job("FAILED", exit_code=2)]) == 240
    assert exit_status.of_error(RefusedError("no", status=403, problem={})) == 248


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with gateway() as served:
        yield served


def gateway_of(stand_in: StandIn, *, patience: float = 1.0, wait: Callable[[float], Any] = time.sleep) -> Gateway:
    ours = Gateway.from_environ(Settings(stand_in.url, patience=patience), environ={}, wait=wait)
    ours.tokens = Tokens(None, start=Token("token", "alice", 9e9, 0.0))
    return ours


def output_of(stand_in: StandIn) -> Output:
    return Output(gateway_of(stand_in))


NO_WAIT = float.__abs__


def test_follower_copies_pieces_in_order_until_the_last(stand_in: StandIn) -> None:
    stand_in.says(200, b"one\n", Output_Next_Offset="4", Output_Complete="false", Retry_After="2")
    stand_in.says(200, b"", Output_Next_Offset="4", Output_Complete="false", Retry_After="2")
    stand_in.says(503, {"type": "urn:slurm-gateway:problem:output-not-there-yet"}, Retry_After="2")
    stand_in.says(200, b"two\n", Output_Next_Offset="8", Output_Complete="true")
    readings = Readings(
        *(Reading(job("RUNNING"), "", 2.0) for _ in range(2)), Reading(job("COMPLETED"), "", None)
    )  # fmt: skip
    to = io.BytesIO()
    follower = Follower(output_of(stand_in), "1", to, clock=lambda: readings.now)
    waiting = Waiting(readings, ["1"], clock=lambda: readings.now)
    [done] = follow(waiting, [follower], readings.wait, readings.wait)
    assert (to.getvalue(), done.trouble) == (b"one\ntwo\n", "")
    assert [asked.path for asked in stand_in.asked] == [
        f"/jobs/1/output?stream=stdout&offset={offset}" for offset in (0, 4, 4, 4)
    ]


def test_head_node_that_does_not_answer_holds_up_the_log_and_not_the_wait(stand_in: StandIn) -> None:
    silent = {"type": "urn:slurm-gateway:problem:head-node-silent", "detail": "The head node does not answer."}
    stand_in.says(503, silent, Retry_After="5").says(503, silent, Retry_After="5")
    stand_in.says(200, b"all of it\n", Output_Next_Offset="10", Output_Complete="true")
    readings = Readings(*(Reading(job("RUNNING"), "", 5.0) for _ in range(2)), Reading(job("COMPLETED"), "", None))
    to = io.BytesIO()
    follower = Follower(output_of(stand_in), "1", to, clock=lambda: readings.now)
    waiting = Waiting(readings, ["1"], clock=lambda: readings.now)
    [done] = follow(waiting, [follower], readings.wait, readings.wait)
    assert (to.getvalue(), done.trouble) == (b"all of it\n", "")
    assert [at for at, _ in readings.asked] == [0.0, 5.0, 10.0]


def test_log_is_whole_though_the_head_node_is_silent_between_two_pieces(stand_in: StandIn) -> None:
    stand_in.says(200, b"one\n", Output_Next_Offset="4", Output_Complete="false")
    stand_in.says(503, {"type": "urn:slurm-gateway:problem:head-node-silent"}, Retry_After="5")
    stand_in.says(200, b"two\n", Output_Next_Offset="8", Output_Complete="false")
    stand_in.says(200, b"", Output_Next_Offset="8", Output_Complete="false")
    to = io.BytesIO()
    output_of(stand_in).copy("1", "stdout", to, NO_WAIT)
    assert to.getvalue() == b"one\ntwo\n"


def test_head_node_that_stays_silent_is_told_as_unreachable(stand_in: StandIn) -> None:
    stand_in.says(503, {"type": "urn:slurm-gateway:problem:head-node-silent", "detail": "It is away."}, Retry_After="5")
    readings = Readings(None)
    output = Output(gateway_of(stand_in), clock=lambda: readings.now)
    with pytest.raises(UnreachableError, match=r"within 60 s\. 503: It is away\."):
        output.copy("1", "stdout", io.BytesIO(), readings.wait)


def test_second_run_of_a_requeued_job_is_shown_from_its_beginning(stand_in: StandIn) -> None:
    stand_in.says(200, b"first run\nis cut o", Output_Next_Offset="18", Output_Complete="false", Retry_After="60")
    stand_in.says(200, b"second\n", Output_Next_Offset="7", Output_Complete="false", Retry_After="60")
    stand_in.says(200, b"run\n", Output_Next_Offset="11", Output_Complete="true")
    again = {"restarts": 1}
    readings = Readings(*(Reading(each, "", 2.0) for each in (
        job("RUNNING", restarts=0), job("PENDING", start_time=None, **again),
        job("RUNNING", state_flags=["CONFIGURING"], **again), job("RUNNING", **again), job("COMPLETED", **again),
    )))  # fmt: skip
    to, said = io.BytesIO(), list[str]()
    follower = Follower(output_of(stand_in), "1", to, prefix="1: ", said=said.append, clock=lambda: readings.now)
    waiting = Waiting(readings, ["1"], clock=lambda: readings.now)
    [done] = follow(waiting, [follower], readings.wait, readings.wait)
    assert to.getvalue() == b"1: first run\n1: is cut o\n1: second\n1: run\n"
    assert (done.trouble, said) == ("", ["job 1 was requeued: what it prints is shown from its new beginning."])
    assert [asked.path.partition("offset=")[2] for asked in stand_in.asked] == ["0", "0", "7"]


def test_requeue_that_is_seen_at_the_end_only_loses_no_output(stand_in: StandIn) -> None:
    stand_in.says(200, b"first", Output_Next_Offset="5", Output_Complete="false", Retry_After="60")
    stand_in.says(200, b"second run\n", Output_Next_Offset="11", Output_Complete="true")
    readings = Readings(
        Reading(job("RUNNING", restarts=0), "", 60.0), Reading(job("COMPLETED", restarts=1), "", None)
    )  # fmt: skip
    to = io.BytesIO()
    follower = Follower(output_of(stand_in), "1", to, clock=lambda: readings.now)
    waiting = Waiting(readings, ["1"], clock=lambda: readings.now)
    list(follow(waiting, [follower], readings.wait, readings.wait))
    assert to.getvalue() == b"first\nsecond run\n"


def test_job_that_was_requeued_before_is_not_said_to_be_requeued_now(stand_in: StandIn) -> None:
    stand_in.says(200, b"all\n", Output_Next_Offset="4", Output_Complete="true")
    said: list[str] = []
    Follower(output_of(stand_in), "1", io.BytesIO(), said=said.append).finish(job("COMPLETED", restarts=2), NO_WAIT)
    assert said == []


def test_several_jobs_lines_are_told_apart(stand_in: StandIn) -> None:
    stand_in.says(200, b"a\nb", Output_Next_Offset="3", Output_Complete="false")
    stand_in.says(200, b"c\n", Output_Next_Offset="5", Output_Complete="true")
    to = io.BytesIO()
    Follower(output_of(stand_in), "7", to, prefix="7: ").finish(job("COMPLETED"), NO_WAIT)
    assert to.getvalue() == b"7: a\n7: bc\n"


def test_gateway_without_the_route_is_said_to_be_one(stand_in: StandIn) -> None:
    stand_in.says(404, {"message": "Not Found"})
    follower = Follower(output_of(stand_in), "1", io.BytesIO())
    follower.finish(job("COMPLETED"), NO_WAIT)
    assert "this gateway has no output route" in follower.trouble


def test_output_that_never_comes_in_is_given_up(stand_in: StandIn) -> None:
    stand_in.says(503, {"type": "urn:slurm-gateway:problem:output-not-there-yet"}, Retry_After="2")
    readings = Readings(None)
    follower = Follower(output_of(stand_in), "1", io.BytesIO(), clock=lambda: readings.now)
    follower.finish(job("COMPLETED"), readings.wait)
    assert "within 60 s" in follower.trouble
    assert readings.now > 50


def test_job_that_never_started_has_nothing_to_follow(stand_in: StandIn) -> None:
    stand_in.says(500)
    Follower(output_of(stand_in), "1", io.BytesIO()).finish(job("CANCELLED", start_time=None), NO_WAIT)
    assert stand_in.asked == []


def test_job_that_comes_in_while_others_are_cancelled_is_not_said_to_be_cancelled(stand_in: StandIn) -> None:
    ids = ["1"]

    def newcomer() -> None:
        ids.append("2")

    stand_in.says(202, newcomer)
    watch = Watch(Screen(quiet=True), Stop(), cancel_on_interrupt=True)
    with pytest.raises(InterruptedWaitError) as caught:
        watch.interrupted(gateway_of(stand_in), Interrupt(15), ids, unsettled=True)
    assert caught.value.happened == (
        "Interrupted. Cancelled job 1. Submits were under way: what became of them is not known."
    )
    assert [asked.path for asked in stand_in.asked] == ["/jobs/1"]


@pytest.mark.parametrize(("grace", "made"), [(30.0, ["slow"]), (0.0, [])])
def test_interruption_waits_a_little_for_what_is_under_way(grace: float, made: list[str]) -> None:
    both, is_over = threading.Barrier(2), threading.Event()
    done: list[str] = []

    def make(thing: str) -> None:
        both.wait(30)
        if thing == "stop":
            raise Interrupt(15)
        if not grace:
            is_over.wait(30)
        done.append(thing)

    with pytest.raises(Interrupt):
        in_parallel(make, ["stop", "slow"], 2, grace=grace)
    assert done == made
    is_over.set()


def listing(*files: str) -> dict[str, Any]:
    return {
        "stdout": {"size": 4},
        "stderr": None,
        "files": [{"name": name, "size": 4} for name in files],
        "problems": [],
    }


def test_output_and_files_are_kept_below_the_directory(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path.with_suffix(".netrc")
    netrc.write_text("default login alice password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with gateway() as s3:
        s3.says(200, b"data")
        stand_in.says(200, listing("results/a.csv"))
        stand_in.says(302, {"size": 4}, Location=f"{s3.url}/signed?secret")
        said = output_of(stand_in).save(job("COMPLETED"), tmp_path / "1", NO_WAIT)
        assert [asked.headers.get("X-SLURM-USER-TOKEN") for asked in s3.asked] == [None, None], "S3 gets no token"
        assert [asked.headers.get("Authorization") for asked in s3.asked] == [None, None], "nor a line of ~/.netrc"
    assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()} == {
        "1/stdout", "1/files/results/a.csv",
    }  # fmt: skip
    assert (tmp_path / "1/stdout").read_bytes() == b"data"
    assert "secret" not in str(said)


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a/../../../x", "..\\x", "C:x", "x\0x"])
def test_file_whose_name_leaves_the_directory_is_not_written(stand_in: StandIn, tmp_path: Path, name: str) -> None:
    with gateway() as s3:
        s3.says(200, b"data")
        stand_in.says(200, listing(name)).says(302, {"size": 4}, Location=s3.url)
        said = output_of(stand_in).save(job("COMPLETED"), tmp_path / "jobs/1", NO_WAIT)
    assert "is no name of a file below" in str(said) or "/etc/x" in str(said)
    assert {file.name for file in tmp_path.rglob("*") if file.is_file()} <= {"stdout", "x"}
    assert [file for file in tmp_path.rglob("x") if tmp_path / "jobs/1/files" not in file.parents] == []
    assert not Path("/etc/x").exists()


def test_download_that_breaks_off_goes_on_where_it_did(stand_in: StandIn, tmp_path: Path) -> None:
    with gateway() as s3:
        s3.says(200, b"da").says(206, b"ta")
        stand_in.says(302, {"size": 4}, Location=s3.url)
        to = io.BytesIO()
        output_of(stand_in).copy("1", "stdout", to, NO_WAIT)
    assert to.getvalue() == b"data"
    assert s3.asked[1].headers["Range"] == "bytes=2-"


def test_download_goes_on_with_a_new_url_when_the_first_has_expired(stand_in: StandIn, tmp_path: Path) -> None:
    with gateway() as s3:
        s3.says(200, b"da").says(403, b"Request has expired").says(206, b"ta")
        stand_in.says(200, listing()).says(302, {"size": 4}, Location=f"{s3.url}/first")
        stand_in.says(302, {"size": 4}, Location=f"{s3.url}/second")
        output_of(stand_in).save(job("COMPLETED"), tmp_path, NO_WAIT)
    assert (tmp_path / "stdout").read_bytes() == b"data"
    assert [(asked.path, asked.headers.get("Range")) for asked in s3.asked] == [
        ("/first", None), ("/first", "bytes=2-"), ("/second", "bytes=2-"),
    ]  # fmt: skip


def test_file_that_does_not_come_whole_is_not_kept_and_the_others_are(stand_in: StandIn, tmp_path: Path) -> None:
    with gateway() as s3:
        s3.says(200, b"data").says(200, b"da")
        for _ in range(3):
            s3.says(206, b"")
        s3.says(200, b"rest")
        stand_in.says(200, listing("a.csv", "b.csv")).says(302, {"size": 4}, Location=s3.url)
        said = output_of(stand_in).save(job("COMPLETED"), tmp_path, NO_WAIT)
    assert {str(file.relative_to(tmp_path)): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == {
        "stdout": b"data", "files/b.csv": b"rest",
    }  # fmt: skip
    assert said == [
        f"kept in {tmp_path}: stdout, files/b.csv",
        "files/a.csv not kept: the download gave 2 of 4 bytes",
    ]


def test_download_that_stays_short_is_no_success(stand_in: StandIn) -> None:
    with gateway() as s3:
        s3.says(200, b"")
        stand_in.says(302, {"size": 4}, Location=s3.url)
        with pytest.raises(NoOutputError, match="0 of 4 bytes"):
            output_of(stand_in).copy("1", "stdout", io.BytesIO(), NO_WAIT)


def test_tasks_whose_output_is_not_kept_are_said_to_be(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "MOST_TASKS", 2)
    stand_in.says(200, {"stdout": None, "stderr": None, "files": [], "problems": []})
    assert output_of(stand_in).save(job("COMPLETED", tasks="0,1"), tmp_path / "1", NO_WAIT) == []
    [said] = output_of(stand_in).save(job("COMPLETED", tasks="0-4"), tmp_path / "1", NO_WAIT)
    assert said.startswith("kept of the first 2 tasks only")
    assert [asked.path for asked in stand_in.asked] == [f"/jobs/1_{task}/output?list=true" for task in (0, 1, 0, 1)]


@pytest.mark.parametrize(
    ("told", "numbers"),
    [("0,1,2-5", [0, 1, 2, 3, 4, 5]), ("[1-7:3%2]", [1, 4, 7]), ("3", [3]), ("1-3,...", [1, 2, 3])],
)
def test_tasks_of_an_array_are_read(told: str, numbers: list[int]) -> None:
    assert list(tasks(job("COMPLETED", tasks=told))) == numbers
