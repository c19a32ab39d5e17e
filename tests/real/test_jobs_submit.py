"""POST /jobs and /scripts on real Slurm."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from hashlib import sha256

import httpx
import pytest

from bench import submit_faults
from local.address import SLURMRESTD_PORT, url
from slurm_gateway import marker as markers
from slurm_gateway import sbatch
from slurm_gateway.api_version import ApiVersions
from slurm_gateway.caller import Caller
from slurm_gateway.slurm_submission import SlurmSubmission
from slurm_gateway.slurmrestd import Slurmrestd
from slurm_gateway.submission import Claim
from tests.real.conftest import FINAL_STATES, Stack, restart_slurmctld, slurm, wait_for

SCRIPT = """#!/bin/bash
#SBATCH --job-name="two words" --time=5
#SBATCH --output=/home/alice/submitted-%j.out
echo "$GREETING $HOME $1 in $PWD"
"""


def submit(stack: Stack, user: str, content: str, query: str = "", **headers: str) -> httpx.Response:
    return stack.http.post(
        f"{stack.api}/jobs{query}",
        content=content,
        headers=stack.headers(user) | {name.replace("_", "-"): value for name, value in headers.items()},
    )


def test_a_posted_script_runs_as_sbatch_would_run_it(stack: Stack) -> None:
    answer = submit(stack, "alice", SCRIPT, "?time=10:00")
    job = answer.json()
    stack.wait_for_state("alice", int(job["id"]), FINAL_STATES)
    output = slurm("cat", f"/home/alice/submitted-{job['id']}.out")

    assert (answer.status_code, answer.headers["location"]) == (201, f"/jobs/{job['id']}")
    assert (job["name"], job["time_limit"], job["user"], job["state"]) == ("two words", 600, "alice", "PENDING")
    # HOME is of the login environment, which the node loads: nothing was sent.
    assert output == " /home/alice  in /home/alice\n"


def test_json_brings_environment_directory_and_arguments(stack: Stack) -> None:
    staged = stack.http.post(f"{stack.api}/scripts", content=SCRIPT, headers=stack.headers("alice")).json()
    document = {
        "script_sha256": staged["sha256"],
        "options": {"time": 3},
        "environment": {"GREETING": "hello", "HOME": "/nowhere", "PATH": "/usr/bin:/bin"},
        "working_directory": "/tmp",
        "arguments": ["a b"],
    }
    answer = stack.http.post(f"{stack.api}/jobs", json=document, headers=stack.headers("alice"))
    job = answer.json()
    stack.wait_for_state("alice", int(job["id"]), FINAL_STATES)

    assert (answer.status_code, job["script"]) == (201, sha256(SCRIPT.encode()).hexdigest())
    assert slurm("cat", f"/home/alice/submitted-{job['id']}.out") == "hello /nowhere a b in /tmp\n"


def test_a_dry_run_sends_nothing(stack: Stack) -> None:
    name = uuid.uuid4().hex
    answer = submit(stack, "alice", SCRIPT, f"?dry_run=true&job-name={name}&array=1-3")

    assert answer.status_code == 200
    assert (answer.json()["job"]["name"], answer.json()["job"]["array"]) == (name, "1-3")
    assert slurm("squeue", "--noheader", "--states=all", f"--name={name}") == ""


@pytest.mark.parametrize(
    ("script", "query", "status", "kind"),
    [
        ("", "", 422, "script-not-valid"),
        ("echo\n", "", 422, "script-not-valid"),
        ("#!/bin/sh\n#SBATCH --tme=5\n", "", 422, "option-not-valid"),
        ("#!/bin/sh\n", "?time=soon", 422, "option-not-valid"),
        ("#!/bin/sh\n", "?partition=nowhere", 422, "slurm-refused"),
        ("#!/bin/sh\n" + "#" * 4 * 1024 * 1024, "", 413, "script-too-long"),
    ],
)
def test_what_is_refused_says_why(stack: Stack, script: str, query: str, status: int, kind: str) -> None:
    answer = submit(stack, "alice", script, query, Idempotency_Key=uuid.uuid4().hex)

    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:slurm-gateway:problem:{kind}")


def test_a_key_answers_with_its_first_job_and_only_to_its_user(stack: Stack) -> None:
    key = uuid.uuid4().hex
    first = submit(stack, "alice", SCRIPT, "?hold", Idempotency_Key=key)
    again = submit(stack, "alice", SCRIPT, "?hold", Idempotency_Key=key)
    other_request = submit(stack, "alice", SCRIPT, "?hold&time=1", Idempotency_Key=key)
    other_user = submit(stack, "bob", SCRIPT, "?hold&output=/home/bob/out", Idempotency_Key=key)

    assert [each.status_code for each in (first, again, other_request, other_user)] == [201, 201, 422, 201]
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert other_user.json()["id"] != first.json()["id"]


def test_a_submit_that_slurm_leaves_unanswered_is_found_when_it_answers_again(stack: Stack) -> None:
    key, name = uuid.uuid4().hex, uuid.uuid4().hex
    query = f"?hold&job-name={name}"
    # The function knows the API versions by now: else it would ask for those, and send nothing.
    submit(stack, "alice", SCRIPT, "?dry_run=true")
    slurm("systemctl", "kill", "--kill-who=main", "--signal=STOP", "slurmctld")
    try:
        unanswered = submit(stack, "alice", SCRIPT, query, Idempotency_Key=key)
        meanwhile = submit(stack, "alice", SCRIPT, query, Idempotency_Key=key)
    finally:
        slurm("systemctl", "kill", "--kill-who=main", "--signal=CONT", "slurmctld")
    answer = wait_for(
        lambda: again if (again := submit(stack, "alice", SCRIPT, query, Idempotency_Key=key)).is_success else None,
        "the job's answer",
    )

    assert [unanswered.status_code, meanwhile.status_code] == [409, 409]
    assert int(unanswered.headers["retry-after"]) > 0
    assert slurm("squeue", "--noheader", "--states=all", f"--name={name}", "--format=%A").split() == [
        answer.json()["id"]
    ]


def test_many_submits_under_faults_make_one_job_a_key(stack: Stack) -> None:
    seed = int(time.time())
    result = submit_faults.run(100, seed=seed)

    assert result.is_exact(), "\n".join([f"seed {seed}", *result.lines()])


def test_a_cluster_that_is_full_says_so_and_takes_the_same_key_later(stack: Stack) -> None:
    key = uuid.uuid4().hex
    for _ in range(2):
        assert submit(stack, "alice", SCRIPT, "?hold").status_code == 201
    restart_slurmctld("MaxJobCount=2")
    try:
        full = submit(stack, "alice", SCRIPT, "?hold", Idempotency_Key=key)
    finally:
        restart_slurmctld()
    later = submit(stack, "alice", SCRIPT, "?hold", Idempotency_Key=key)

    assert (full.status_code, full.json()["type"]) == (503, "urn:slurm-gateway:problem:slurm-takes-no-jobs"), full.text
    assert int(full.headers["retry-after"]) > 0
    assert (later.status_code, "idempotent-replayed" in later.headers) == (201, False)


def test_scripts_are_their_owners_own(stack: Stack) -> None:
    script = f"{SCRIPT}# {uuid.uuid4()}\n"
    staged = stack.http.post(f"{stack.api}/scripts", content=script, headers=stack.headers("alice"))
    path = f"{stack.api}/scripts/{staged.json()['sha256']}"

    assert staged.status_code == 201
    assert stack.http.get(path, headers=stack.headers("alice")).text == script
    assert stack.http.get(path, headers=stack.headers("bob")).status_code == 404


def test_a_large_script_is_uploaded_by_a_url_of_its_own(stack: Stack) -> None:
    script = f"#!/bin/sh\n# {uuid.uuid4()}\n".encode() + b"#" * 3 * 1024 * 1024
    digest = sha256(script).hexdigest()
    answer = stack.http.post(
        f"{stack.api}/scripts", json={"sha256": digest, "size": len(script)}, headers=stack.headers("alice")
    )
    upload = answer.json()["upload"]
    missing = stack.http.get(f"{stack.api}/scripts/{digest}", headers=stack.headers("alice"))
    done = httpx.put(upload["url"], content=script, headers=upload["headers"], trust_env=False)

    assert (answer.status_code, missing.status_code, done.status_code) == (200, 404, 200)
    assert stack.http.get(f"{stack.api}/scripts/{digest}", headers=stack.headers("alice")).content == script


def test_accounting_tells_of_a_job_that_slurm_has_forgotten(stack: Stack) -> None:
    """Asked as it is for a submit whose answer was lost, some minutes after the job's end."""
    sent = int(time.time())
    token = stack.token("alice")
    ids = [int(submit(stack, "alice", "#!/bin/sh\n", query).json()["id"]) for query in ("", "?array=1-2")]
    daemon = Slurmrestd(url(SLURMRESTD_PORT))
    slurmrestd = SlurmSubmission(
        daemon, ApiVersions(daemon), Caller("alice", token, sent + 900), translated,
        cluster="parallelcluster", ends_at=sent + 900, clock=time.time,
    )  # fmt: skip

    for number in ids:
        marker = stack.job("alice", number)["extra"]
        claim = Claim(
            user="alice", key="key", request="", marker=marker, sender="", sent_after=sent, sender_until=0,
            token_expires_at=sent + 900,
        )  # fmt: skip
        found = wait_for(lambda claim=claim: slurmrestd.accounted(claim), "accounting to have it", 60)
        assert found["id"] == str(number)
        assert slurmrestd.accounted(replace(claim, marker=str(markers.new(sent)))) is None


def translated(versions: tuple[str, ...]) -> sbatch.Translation:
    script = sbatch.Script("#!/bin/sh\n")
    return sbatch.translate(script, (), sbatch.Submission(working_directory="/tmp"), api_versions_of_cluster=versions)
