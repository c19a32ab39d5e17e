"""`submit --follow` ends as its job ends, whatever that is, with its log and soon after."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from tests.real.client_command import Client, job_id_of
from tests.real.conftest import Stack, slurm, wait_for

CASES = {
    "succeeds": ("echo said by succeeds", 0),
    "exits with 3": ("echo said by exits; exit 3", 3),
    "killed by SIGTERM": ("echo said by killed; kill -TERM $$", 143),
    "cancelled while it runs": ("echo said by cancelled; sleep 300", 240),
    "cancelled before its start": ("echo said by nobody", 240),
    "runs out of time": ("echo said by late; sleep 300", 241),
    "loses its node": ("echo said by lost; sleep 300", 242),
}
SOON = 10.0  # seconds from a job's end to the command's


@dataclass
class Ended:
    """How one command ended, and when."""

    status: int
    stdout: str
    stderr: str
    at: float


DISTURBED = ("cancelled while it runs", "runs out of time", "loses its node")


def disturb(case: str, job_id: str) -> None:
    """Do to a job from outside what its case says."""
    if case in ("cancelled before its start", "cancelled while it runs"):
        slurm("scancel", job_id)
    elif case == "runs out of time":
        # A limit has whole minutes; its end can be moved to the second.
        slurm("scontrol", "update", f"jobid={job_id}", "EndTime=now+1")
    elif case == "loses its node":
        node = slurm("squeue", "--noheader", f"--jobs={job_id}", "--format=%N").strip()
        slurm("scontrol", "update", f"nodename={node}", "state=down", "reason=test")


def start_functions(stack: Stack, count: int) -> None:
    """Have as many processes of the jobs function as are asked at once: their start is not what is timed."""
    url, headers = f"{stack.api}/jobs/99999999", stack.headers("alice")
    # From then on the edge knows the pair, and lets all through at once.
    stack.http.get(url, headers=headers)
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda _: stack.http.get(url, headers=headers), range(count)))


def test_exit_status_is_the_documented_one_within_ten_seconds_of_the_end(client: Client, stack: Stack) -> None:
    ended: dict[str, Ended] = {}
    jobs: dict[str, str] = {}

    def watch(case: str) -> None:
        script = client.script(case.replace(" ", "-") + ".sh", CASES[case][0])
        held = ["--hold"] if case == "cancelled before its start" else []
        # Nobody else's job is on the node that is lost.
        alone = ["--exclusive"] if case == "loses its node" else []
        process = client.start("submit", script, "--follow", "--no-requeue", "--time=5", *held, *alone)
        assert process.stderr is not None
        assert process.stdout is not None
        line = process.stderr.readline()
        while "Submitted" not in line:  # Slurm's own notices come first
            assert line, "the command ended without a job"
            line = process.stderr.readline()
        jobs[case] = job_id_of(line)
        # What a job printed while it ran is shown while it runs.
        shown = process.stdout.readline() if case in DISTURBED else ""
        disturb(case, jobs[case])
        stdout, stderr = process.communicate(timeout=120)
        ended[case] = Ended(process.returncode, shown + stdout, stderr, time.time())

    def watched(case: str) -> threading.Thread:
        thread = threading.Thread(target=watch, args=(case,))
        thread.start()
        wait_for(lambda: case in jobs or not thread.is_alive(), f"the job that {case}", 60)
        return thread

    start_functions(stack, len(CASES))
    try:
        # A client is started once the one before has its job: the start of all at once takes longer than what is timed.
        threads = [watched(case) for case in CASES]
        for thread in threads:
            thread.join()
    finally:
        slurm("scontrol", "update", "nodename=ALL", "state=resume", check=False)
    assert {case: each.status for case, each in ended.items()} == {case: status for case, (_, status) in CASES.items()}
    said = {case: body.partition(";")[0].removeprefix("echo ") + "\n" for case, (body, _) in CASES.items()}
    assert ended["cancelled before its start"].stdout == ""
    for case, each in ended.items():
        if case != "cancelled before its start":
            # Slurm's own word about what it did to the job may follow.
            assert each.stdout.startswith(said[case]), f"{case}: {each.stdout}"
        job = stack.http.get(f"{stack.api}/jobs/{jobs[case]}", headers=stack.headers("alice")).json()
        after = each.at - datetime.fromisoformat(job["end_time"]).timestamp()
        assert after < SOON + 1, f"{case}: {after:.1f} s after its end"  # Slurm tells whole seconds
        assert f"job {jobs[case]} {job['state']}" in each.stderr


def test_several_scripts_end_with_the_greatest_of_their_statuses(client: Client) -> None:
    scripts = [client.script(f"{code}.sh", f"exit {code}") for code in (0, 4, 2)]
    done = client.run("submit", *scripts, "--wait", "--json")
    assert done.returncode == 4, done.stderr
    assert '"exit_code": 2' in done.stdout
    assert '"COMPLETED"' in done.stdout


def test_array_ends_with_the_greatest_of_its_tasks(client: Client) -> None:
    script = client.script("array.sh", "exit $SLURM_ARRAY_TASK_ID")
    done = client.run("submit", script, "--array=0,1,5", "--wait")
    assert done.returncode == 5, done.stderr


def test_job_that_is_there_already_is_waited_for(client: Client) -> None:
    job_id = client.run("submit", client.script("late.sh", "sleep 3; exit 7"), "--parsable").stdout.strip()
    assert client.run("wait", job_id).returncode == 7
    assert client.run("wait", "999999").returncode == 248


def test_nodes_are_back(stack: Stack) -> None:
    wait_for(lambda: "down" not in slurm("sinfo", "--noheader", "--format=%T"), "the nodes to be up")
