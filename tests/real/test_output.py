"""What jobs print and leave behind, on its way from the cluster to whoever may read it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local import aws_emulator, cluster, principals, stacks
from slurm_gateway import job as jobs
from tests.real.conftest import FINAL_STATES, Stack, slurm, wait_for

Read = Callable[..., httpx.Response]
SECRET = "the-secret-of-root"


@pytest.fixture
def read(stack: Stack) -> Read:
    def send(job_id: object, query: str = "", user: str = "alice") -> httpx.Response:
        path = f"/jobs/{job_id}/output{'?' if query else ''}{query}"
        return stack.http.get(stack.api + path, headers=stack.headers(user), follow_redirects=True)

    return send


@pytest.fixture(scope="module")
def bucket() -> str:
    return stacks.outputs_of(stacks.REQUIREMENTS_STACK)["BucketName"]


@pytest.fixture
def objects(bucket: str) -> Callable[[str], dict[str, bytes]]:
    """Everything in the bucket that was kept of a job, by its name below the job's own prefix."""

    def read_all(job_id: str) -> dict[str, bytes]:
        s3 = aws_emulator.client("s3", principals.administrator())
        found: dict[str, bytes] = {}
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="output/"):
            for item in page.get("Contents", []):
                job, _, name = item["Key"].removeprefix("output/alice/parallelcluster/").partition("/")
                if job.rpartition("-")[0] == job_id:
                    found[name] = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
        return found

    return read_all


@pytest.fixture
def workplace() -> Iterator[str]:
    """A directory of alice's own."""
    directory = f"/home/alice/output-{time.time_ns()}"
    slurm("mkdir", directory, user="alice")
    yield directory
    slurm("rm", "-rf", directory)


@pytest.fixture
def root_only() -> Iterator[str]:
    """A file that root alone may read, on a file system that is shared."""
    slurm("bash", "-c", f"umask 077; echo {SECRET} > /home/root-only")
    yield "/home/root-only"
    slurm("rm", "-f", "/home/root-only")


def submit(stack: Stack, script: str, query: str = "", user: str = "alice") -> str:
    answer = stack.http.post(
        f"{stack.api}/jobs?{query}", content=f"#!/bin/bash\n{script}".encode(), headers=stack.headers(user)
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def ended(stack: Stack, job_id: str, user: str = "alice") -> dict[str, Any]:
    def final() -> dict[str, Any] | None:
        job: dict[str, Any] = stack.http.get(f"{stack.api}/jobs/{job_id}", headers=stack.headers(user)).json()
        return job if job["state"] in FINAL_STATES and not job["state_flags"] else None

    found: dict[str, Any] = wait_for(final, f"job {job_id} to end")
    return found


def listed(read: Read, job_id: str) -> dict[str, Any]:
    """Wait until a job's output was collected, and give the list of it."""

    def there() -> dict[str, Any] | None:
        answer = read(job_id, "list=true")
        assert answer.status_code in {200, 409, 503}, answer.text
        return answer.json() if answer.status_code == 200 else None

    found: dict[str, Any] = wait_for(there, f"the output of job {job_id}", timeout=120)
    return found


def problems(manifest: dict[str, Any], directory: str) -> dict[str, str]:
    return {each["path"].removeprefix(directory + "/"): each["problem"] for each in manifest["problems"]}


# ---- what jobs print ---------------------------------------------------------------------------------------------


def test_what_a_job_printed_is_there_within_ten_seconds_of_its_end(stack: Stack, read: Read, workplace: str) -> None:
    job_id = submit(stack, "echo out; echo err >&2", f"output={workplace}/out.txt&error={workplace}/err.txt")
    job = ended(stack, job_id)

    kept = listed(read, job_id)

    assert (kept["stdout"]["size"], kept["stderr"]["size"], kept["files"], kept["problems"]) == (4, 4, [], [])
    assert (read(job_id).text, read(job_id, "stream=stderr").text) == ("out\n", "err\n")
    # Slurm tells whole seconds.
    assert jobs.unix(kept["collected_at"]) - jobs.unix(job["end_time"]) <= 10 + 1
    assert job["links"]["output"] == f"/jobs/{job_id}/output"


def test_a_running_jobs_output_is_read_by_offset_to_its_end(stack: Stack, read: Read, workplace: str) -> None:
    # It prints until it has been read twice while it ran.
    script = f"until [ -e {workplace}/stop ]; do echo line $((++i)) ü; sleep 0.7; done; echo $i lines"
    job_id = submit(stack, script, f"output={workplace}/out.txt")
    data, live = b"", 0

    def more() -> bool:
        nonlocal data, live
        answer = read(job_id, f"offset={len(data)}")
        if answer.status_code == 503:
            return False
        assert answer.status_code == 200, answer.text
        data += answer.content
        assert int(answer.headers["output-next-offset"]) == len(data)
        complete = answer.headers["output-complete"] == "true"
        live += bool(answer.content) and not complete
        if live == 2:
            slurm("touch", f"{workplace}/stop", user="alice")
        return complete

    wait_for(more, "the last of it", 60)

    *lines, last = data.decode().splitlines(keepends=True)
    assert lines == [f"line {number} ü\n" for number in range(1, len(lines) + 1)]
    assert last == f"{len(lines)} lines\n"
    assert live >= 2


def test_output_is_its_owners_alone(stack: Stack, read: Read, workplace: str) -> None:
    running = submit(stack, "echo mine; sleep 60", f"output={workplace}/out.txt")
    wait_for(lambda: read(running).text == "mine\n", "it to print")
    over = submit(stack, "echo mine", f"output={workplace}/over.txt")
    ended(stack, over)
    listed(read, over)

    # Whatever bob asks, of what alice has.
    answers = [read(job_id, query, "bob") for job_id in (running, over) for query in ("", "offset=0", "list=true")]

    assert [answer.status_code for answer in answers] == [404] * 6


def test_a_job_that_was_submitted_on_the_cluster_has_its_output_too(stack: Stack, read: Read, workplace: str) -> None:
    options = ("--parsable", f"--chdir={workplace}", "--array=3,7", "--wrap=echo task $SLURM_ARRAY_TASK_ID")
    array = slurm("sbatch", *options, user="alice").strip()

    for task in ("3", "7"):
        ended(stack, f"{array}_{task}")
        listed(read, f"{array}_{task}")
        assert read(f"{array}_{task}").text == f"task {task}\n"
    assert read(array).status_code == 404
    assert read(array).json()["title"] == "Each task has its own output"


def test_a_job_that_prints_where_the_head_node_does_not_see_it_says_so(stack: Stack, read: Read) -> None:
    job_id = submit(stack, "echo unseen; sleep 300", "output=/tmp/unseen-%25j.txt")
    wait_for(lambda: slurm("squeue", "-h", "-j", job_id, "-o", "%T").strip() == "RUNNING", "it to run")

    live = wait_for(lambda: answer if (answer := read(job_id)).status_code != 503 else None, "the head node to look")
    slurm("scancel", job_id)
    ended(stack, job_id)

    assert (live.status_code, live.json()["title"]) == (404, "Its output cannot be read")
    told = [{"path": f"/tmp/unseen-{job_id}.txt", "problem": "not-shared"}]
    assert listed(read, job_id)["problems"] == told
    record = wait_for(lambda: ended(stack, job_id)["output"], "the job's record to tell of it", timeout=60)
    assert (record["stdout"], record["problems"]) == (None, told)
    assert read(job_id).status_code == 404
    assert read(job_id).json()["problems"]


# ---- files that the script names ---------------------------------------------------------------------------------


def test_the_files_that_a_script_names_are_collected(stack: Stack, read: Read, workplace: str) -> None:
    script = (
        '#GATEWAY output=results/*.csv output="log %j.txt"\n#GATEWAY nonsense\nmkdir -p results/deep\n'
        'for i in 1 2; do echo $i > results/$i.csv; done; touch results/x.txt; echo l > "log $SLURM_JOB_ID.txt"\n'
    )
    job_id = submit(stack, script, f"chdir={workplace}")
    ended(stack, job_id)

    kept = listed(read, job_id)

    assert {each["name"]: each["size"] for each in kept["files"]} == {
        "results/1.csv": 2, "results/2.csv": 2, f"log {job_id}.txt": 2,
    }  # fmt: skip
    assert [each["problem"] for each in kept["problems"]] == ["not-understood"]
    link = next(each["link"] for each in kept["files"] if each["name"].startswith("log"))
    answer = stack.http.get(stack.api + link, headers=stack.headers("alice"), follow_redirects=True)
    assert answer.text == "l\n"
    assert read(job_id, "file=results/x.txt").status_code == 404


def test_files_may_be_named_in_the_submit_as_well(stack: Stack, read: Read, workplace: str) -> None:
    body = {
        "script": "#!/bin/bash\nmkdir -p a/b; echo 1 > a/b/x,y.dat; echo 2 > a/z.dat\n",
        "working_directory": workplace,
        "collect": ["a/**/*.dat"],
    }
    answer = stack.http.post(f"{stack.api}/jobs", json=body, headers=stack.headers("alice"))
    job_id = str(answer.json()["id"])
    ended(stack, job_id)

    assert sorted(each["name"] for each in listed(read, job_id)["files"]) == ["a/b/x,y.dat", "a/z.dat"]


def test_nothing_but_the_users_own_regular_files_is_read(
    stack: Stack, read: Read, objects: Callable[[str], dict[str, bytes]], workplace: str, root_only: str
) -> None:
    slurm("bash", "-c", f"cd {workplace}; mkdir in; chown alice in; mknod in/device c 1 5; ln {root_only} in/hardlink; "
          f"install -o bob -g bob -m 600 /dev/null in/bobs; echo {SECRET} >> in/bobs; mkdir -m 700 in/rootdir; "
          f"echo {SECRET} > in/rootdir/x")  # fmt: skip
    script = (
        "#GATEWAY output=in/* output=../root-only output=/home/root-only output=/tmp/* output=in/rootdir/*\n"
        "#GATEWAY output=aside/slurm.conf\n"
        f"cd in; ln -s {root_only} symlink; mkfifo fifo; mkdir directory; echo fine > good; ln good again\n"
        "echo n > $'new\\nline'; ln -s /opt/slurm/etc ../aside\n"
    )
    job_id = submit(stack, script, f"chdir={workplace}")
    ended(stack, job_id)

    kept = listed(read, job_id)

    assert sorted(each["name"] for each in kept["files"]) == ["in/again", "in/good"]
    assert problems(kept, workplace) == {
        "../root-only": "not-understood",
        "/home/root-only": "forbidden",
        "/tmp/*": "not-shared",
        "aside/slurm.conf": "not-shared",
        "in/bobs": "forbidden",
        "in/device": "not-a-regular-file",
        "in/fifo": "not-a-regular-file",
        "in/hardlink": "forbidden",
        "in/new\nline": "name",
        "in/rootdir/*": "no-match",
        "in/symlink": "symbolic-link",
    }
    assert not any(SECRET.encode() in body for body in objects(job_id).values())


def test_a_stdout_that_becomes_a_link_to_a_root_only_file_yields_nothing_of_it(
    stack: Stack, read: Read, objects: Callable[[str], dict[str, bytes]], workplace: str, root_only: str
) -> None:
    out = f"{workplace}/out.txt"
    job_id = submit(
        stack,
        f"echo before; rm {out}; ln -s {root_only} {out}; until [ -e {workplace}/go ]; do sleep 0.2; done",
        f"output={out}",
    )
    wait_for(lambda: "out.txt ->" in slurm("ls", "-l", workplace), "the link to be there")

    live = wait_for(lambda: answer if (answer := read(job_id)).status_code != 503 else None, "the head node to look")
    slurm("touch", f"{workplace}/go", user="alice")
    ended(stack, job_id)
    kept = listed(read, job_id)

    assert (live.status_code, "symbolic-link" in live.text) == (404, True)
    assert (kept["stdout"], kept["problems"]) == (None, [{"path": out, "problem": "symbolic-link"}])
    assert list(objects(job_id)) == ["manifest.json"]
    assert SECRET not in live.text + read(job_id).text


def test_there_is_an_end_to_the_files_of_a_job(stack: Stack, read: Read, workplace: str) -> None:
    job_id = submit(stack, "#GATEWAY output=*.txt\ntouch {1..1100}.txt\n", f"chdir={workplace}&output=/dev/null")
    ended(stack, job_id)

    kept = listed(read, job_id)

    assert len(kept["files"]) == 1000
    assert kept["problems"] == [{"path": f"{workplace}/*.txt", "problem": "too-many-files"}]


# ---- the service itself --------------------------------------------------------------------------------------------


def children() -> dict[int, dict[str, str]]:
    """Give /proc's word on the children that read files: their status, environment, open files and directory."""
    found: dict[int, dict[str, str]] = {}
    for pid in cluster.pids():
        process = Path(f"/proc/{pid}")
        try:
            if b"read_child.py" not in (process / "cmdline").read_bytes():
                continue
            files = {each.name: str(each.readlink()) for each in (process / "fd").iterdir()}
            status = dict(
                line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line
            )
            environ = (process / "environ").read_bytes().decode()
            found[pid] = status | {
                "environ": environ,
                "files": json.dumps(files),
                "cwd": str((process / "cwd").readlink()),
            }
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_the_child_that_reads_is_the_jobs_user_and_has_nothing_of_the_services(
    stack: Stack, read: Read, workplace: str
) -> None:
    job_id = submit(stack, "#GATEWAY output=large\ntruncate -s 120M large\n", f"chdir={workplace}&output=/dev/null")

    def at_work() -> dict[str, str] | None:
        # Before it has become anything it is still the service itself, on its way to its own program.
        return next((each for each in children().values() if f"{workplace}/large" in each["files"]), None)

    deadline = time.monotonic() + 60
    while not (child := at_work()):
        assert time.monotonic() < deadline, "no child was seen at work"

    assert {name: child[name].split() for name in ("Uid", "Gid", "Groups")} == {
        "Uid": ["1001"] * 4, "Gid": ["1001"] * 4, "Groups": ["1001"],
    }  # fmt: skip
    sets = ("CapInh", "CapPrm", "CapEff", "CapAmb")
    assert {name: int(child[name], 16) for name in sets} == dict.fromkeys(sets, 0)
    assert child["NoNewPrivs"] == "1"
    assert child["environ"] == "LC_ALL=C.UTF-8\0"
    files = json.loads(child["files"])
    assert {name: files[name].partition(":")[0] for name in ("1", "2")} == {"1": "pipe", "2": "/dev/null"}
    assert set(files) - {"0", "1", "2"} <= {name for name, path in files.items() if path == f"{workplace}/large"}
    assert child["cwd"] == "/"
    assert listed(read, job_id)["files"][0]["size"] == 120 * 1024 * 1024


def test_a_killed_service_goes_on_where_it_was(stack: Stack, read: Read, workplace: str) -> None:
    job_ids = [submit(stack, f"echo {number}", f"output={workplace}/%25j.txt") for number in range(6)]
    for job_id in job_ids:
        slurm("systemctl", "kill", "--kill-who=main", "--signal=KILL", "slurm-gateway-files.service", check=False)
        ended(stack, job_id)

    texts = [(listed(read, job_id), read(job_id).text)[1] for job_id in job_ids]

    assert texts == [f"{number}\n" for number in range(6)]
