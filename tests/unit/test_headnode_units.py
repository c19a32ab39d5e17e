"""The head-node scripts and units, as far as they can be checked without a head node."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

HEAD_NODE = Path(__file__).resolve().parents[2] / "headnode"
SCRIPTS = sorted(HEAD_NODE.glob("*.sh"))
UNITS = sorted([*HEAD_NODE.glob("*.service"), *HEAD_NODE.glob("*.timer"), *HEAD_NODE.glob("*.path")])
GIVEN = ["--keys-parameter", "k", "--event-bus", "b", "--bucket", "bucket", "--orders-queue", "https://sqs/queue"]
VALUES = {
    "SLURM_PREFIX": "/opt/slurm",
    "SLURM_ETC": "/opt/slurm/etc",
    "PORT": "6830",
    "LISTEN_ADDRESS": "0.0.0.0",  # noqa: S104 - the unit filters who gets in
    "MEMORY_MAX": "2G",
    "THREADS": "20",
    "MAX_CONNECTIONS": "124",
    "OPENAPI_PLUGINS": "slurmctld,slurmdbd",
    "ALLOWED_ADDRESSES": "localhost 10.0.4.0/27",
    "PYTHON": "/usr/bin/python3",
    "SLURM_USER": "slurm",
    "SHARED_DIRECTORIES": " -/home -/shared",
}


def rendered(unit: Path, values: Mapping[str, str] = VALUES) -> str:
    text = unit.read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def section(unit: str, name: str) -> dict[str, list[str]]:
    """Read one section of a unit: every name with all its values, as systemd allows names to repeat."""
    values: dict[str, list[str]] = {}
    current = ""
    for line in rendered(HEAD_NODE / unit).splitlines():
        if line.startswith("["):
            current = line.strip("[]")
        elif "=" in line and not line.startswith("#") and current == name:
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value)
    return values


def bash(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run bash with the head-node scripts' own functions loaded."""
    load = f'set -euo pipefail; . "{HEAD_NODE}/lib.sh"; . "{HEAD_NODE}/slurm-conf.sh"; '
    return subprocess.run(
        ["bash", "-c", load + script, "test", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing_in_the_scripts() -> None:
    done = subprocess.run(
        ["shellcheck", "-x", *SCRIPTS], cwd=HEAD_NODE.parent, capture_output=True, text=True, check=False
    )
    assert done.stdout == ""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_every_line_of_the_units(tmp_path: Path) -> None:
    for unit in UNITS:
        (tmp_path / unit.name).write_text(rendered(unit))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *(tmp_path / unit.name for unit in UNITS)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    # The programs themselves are on a head node only.
    complaints = [line for line in done.stderr.splitlines() if "is not executable" not in line]
    assert complaints == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_slurmrestd_is_confined_to_systemds_satisfaction(tmp_path: Path) -> None:
    unit = tmp_path / "slurmrestd.service"
    unit.write_text(rendered(HEAD_NODE / unit.name))
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20", unit],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze has no --offline")
    assert done.returncode == 0, done.stdout[-400:]


def test_the_files_service_is_root_without_roots_powers() -> None:
    service = section("slurm-gateway-files.service", "Service")
    expected = {
        "CapabilityBoundingSet": ["CAP_SETUID CAP_SETGID CAP_KILL"],
        "AmbientCapabilities": [""],
        "NoNewPrivileges": ["yes"],
        "ProtectSystem": ["strict"],
        "ReadWritePaths": ["/var/lib/slurm-gateway/ends -/home -/shared"],
        "MemoryMax": ["512M"],
        "OOMPolicy": ["continue"],
    }
    assert "AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null" in service["Environment"]
    assert expected == {name: service[name] for name in expected}
    assert service["ExecStart"][0].startswith("/usr/bin/setpriv --inh-caps=-all -- /usr/bin/python3 ")


def test_the_manifest_lists_every_file_that_the_head_node_installs() -> None:
    listed = (HEAD_NODE / "manifest").read_text().split()
    files = [path.relative_to(HEAD_NODE) for path in HEAD_NODE.rglob("*") if path.is_file()]
    assert listed == sorted(
        str(path) for path in files if path.suffix != ".pyc" and str(path) not in {"README.md", "manifest"}
    )


def test_no_placeholder_is_left_in_a_unit() -> None:
    assert [unit.name for unit in UNITS if re.search("@[A-Z_]+@", rendered(unit))] == []


def test_slurmrestd_runs_as_its_own_user_with_bounds() -> None:
    service = section("slurmrestd.service", "Service")
    expected = {
        "User": ["slurmrestd"],
        "MemoryMax": ["2G"],
        "Restart": ["always"],
        "NoNewPrivileges": ["yes"],
        "ProtectSystem": ["strict"],
        "ProtectHome": ["yes"],
        "PrivateTmp": ["yes"],
        "CapabilityBoundingSet": [""],
    }
    assert expected == {name: service[name] for name in expected}


def test_slurmrestd_is_reached_from_this_machine_and_the_load_balancer_only() -> None:
    service = section("slurmrestd.service", "Service")
    assert (service["IPAddressDeny"], service["IPAddressAllow"]) == (["any"], ["localhost 10.0.4.0/27"])


def test_slurmrestd_takes_tokens_only_and_names_its_plugins() -> None:
    service = section("slurmrestd.service", "Service")
    command = service["ExecStart"][0].split()
    assert command[1:5] == ["-a", "rest_auth/jwt", "-s", "slurmctld,slurmdbd"]
    assert "SLURMRESTD_JSON=compact" in service["Environment"]


def test_keys_are_looked_at_every_15_seconds() -> None:
    assert section("slurm-gateway-keys.timer", "Timer")["OnUnitActiveSec"] == ["15s"]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--help"], 0, "usage: configure.sh"),
        (["--port"], 2, "--port needs a value"),
        (["--prot", "6830"], 2, "unknown argument --prot"),
        ([], 99, "--keys-parameter is missing"),
        (["--keys-parameter", "k"], 99, "--event-bus is missing"),
        (GIVEN[:4], 99, "--bucket is missing"),
        (GIVEN[:6], 99, "--orders-queue is missing"),
        ([*GIVEN, "--shared-directories", "/a b"], 99, "auto or directories"),
        ([*GIVEN, "--output-max-files", "0"], 99, "--output-max-files takes a number from 1"),
        ([*GIVEN, "--output-max-bytes", "83886080001"], 99, "--output-max-bytes takes at most 83886080000"),
        ([*GIVEN, "--port", "6825"], 99, "slurmctld's on ParallelCluster"),
        ([*GIVEN, "--port", "http"], 99, "a number from 1024 to 65535"),
        ([*GIVEN, "--slurmdbd", "perhaps"], 99, "auto, yes or no"),
        ([*GIVEN, "--memory-max", "lots"], 99, "a size such as 2G"),
        ([*GIVEN, "--allow-cidrs", "10.0.0.0/8; rm"], 99, "CIDRs separated by commas"),
        ([*GIVEN, "--environment-file", "/nowhere"], 99, "cannot be read"),
        ([*GIVEN, "--slurm-prefix", "/nowhere"], 99, "missing"),
    ],
)
def test_configure_says_what_is_wrong_with_its_arguments(arguments: list[str], status: int, says: str) -> None:
    done = subprocess.run([HEAD_NODE / "configure.sh", *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, True) == (status, says in done.stdout + done.stderr), done.stderr


def test_configure_alone_asks_for_the_source_of_its_siblings(tmp_path: Path) -> None:
    shutil.copy(HEAD_NODE / "configure.sh", tmp_path)
    done = subprocess.run([tmp_path / "configure.sh"], capture_output=True, text=True, check=False)
    assert (done.returncode, "--source" in done.stderr) == (2, True)


# Refuses as often as REFUSALS says, and has the arguments and the files of headnode/ in the bucket b.
AWS = f"""#!/bin/bash
echo "$*" >>"$CALLS"
refused=$(cat "$CALLS.refused" 2>/dev/null || echo 0)
if ((refused < ${{REFUSALS:-0}})); then
  echo $((refused + 1)) >"$CALLS.refused"
  echo "not yet" >&2 && exit 1
fi
from=${{@: -2:1}} to=${{@: -1}}
case "$from" in
  s3://b/headnode/arguments) printf '%s' "$ARGUMENTS" >"$to" ;;
  s3://b/headnode/*) mkdir -p "$(dirname "$to")" && cp "{HEAD_NODE}/${{from#s3://b/headnode/}}" "$to" ;;
  *) echo "AccessDenied: $*" >&2 && exit 1 ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """An environment whose aws is the one above, and that loses no time."""
    for name, text in {"aws": AWS, "systemctl": "#!/bin/sh\n", "sleep": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls"), "ARGUMENTS": " ".join(GIVEN)}


@pytest.mark.parametrize(
    ("listed", "more", "status", "says"),
    [
        # Complete: what is missed is the machine's.
        (" ".join(GIVEN).replace("b --b", "b\n --b") + "\n", [], 99, "slurm.conf is missing"),
        (" ".join([*GIVEN, "--port", "6825"]), [], 99, "--port 6825 is slurmctld's"),
        (" ".join([*GIVEN, "--port", "6825"]), ["--port", "6840"], 99, "slurm.conf is missing"),
        (" ".join(GIVEN[:4]), [], 99, "--bucket is missing"),
        ("--prot 6830", [], 2, "unknown argument --prot"),
        ("", [], 99, "--keys-parameter is missing"),
    ],
)
def test_configure_reads_arguments_from_the_bucket_and_those_given_come_before_them(
    machine: dict[str, str], listed: str, more: list[str], status: int, says: str
) -> None:
    environment = {**machine, "ARGUMENTS": listed}
    given = ["--arguments", "s3://b/headnode/arguments", "--release", "r1", "--slurm-prefix", "/nowhere", *more]

    done = subprocess.run(
        [HEAD_NODE / "configure.sh", *given], env=environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, says in done.stdout + done.stderr) == (status, True), done.stderr
    assert ("release r1" in done.stdout) == (status == 99)


def test_configure_tries_for_a_minute_to_read_its_arguments_and_says_when_it_cannot(machine: dict[str, str]) -> None:
    done = subprocess.run(
        [HEAD_NODE / "configure.sh", "--arguments", "s3://other/arguments"],
        env=machine, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr.count("AccessDenied") == 12
    assert "s3://other/arguments is missing or cannot be read" in done.stderr


@pytest.mark.parametrize("refusals", [0, 2])
def test_configure_alone_fetches_what_lies_beside_it_also_where_the_bucket_is_not_there_at_once(
    tmp_path: Path, machine: dict[str, str], refusals: int
) -> None:
    (tmp_path / "alone").mkdir()
    shutil.copy(HEAD_NODE / "configure.sh", tmp_path / "alone")
    given = ["--arguments", "s3://b/headnode/arguments", "--source", "s3://b/headnode/", "--slurm-prefix", "/nowhere"]

    done = subprocess.run(
        [tmp_path / "alone" / "configure.sh", *given, "--region", "eu-x"],
        env={**machine, "REFUSALS": str(refusals)}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, "slurm.conf is missing" in done.stderr) == (99, True), done.stderr
    assert done.stderr.count("the next follows in 5 s") == refusals
    calls = (tmp_path / "calls").read_text().splitlines()
    files = (HEAD_NODE / "manifest").read_text().split()
    assert [call.split()[-2].removeprefix("s3://b/headnode/") for call in calls[refusals:]] == [
        "arguments", "manifest", *files,
    ]  # fmt: skip


def test_nobody_is_published_while_it_cannot_be_told_whom_slurm_runs_as(tmp_path: Path) -> None:
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls"), "SLURM_PREFIX": str(tmp_path),
        "SLURM_ETC": str(tmp_path / "etc"), "USERS_OBJECT": "s3://b/users.json",
    }  # fmt: skip
    (tmp_path / "aws").write_text(AWS)
    (tmp_path / "aws").chmod(0o755)

    done = subprocess.run(
        [HEAD_NODE / "publish-users.sh"], env=environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, "slurm.conf cannot be read" in done.stderr) == (99, True), done.stderr
    assert not (tmp_path / "calls").exists()


def test_value_in_force_is_the_last_one_whatever_its_case_and_wherever_it_is_included(tmp_path: Path) -> None:
    (tmp_path / "slurm.conf").write_text("AuthAltTypes=auth/a\ninclude more.conf\n# AuthAltTypes=auth/c\n")
    (tmp_path / "more.conf").write_text(" authalttypes = auth/b # why\n")
    done = bash('SLURM_ETC=$1 conf_value "$1/slurm.conf" AuthAltTypes', str(tmp_path))
    assert done.stdout == "auth/b"


def test_lines_of_ours_stand_once_at_the_end_and_what_was_there_stays(tmp_path: Path) -> None:
    conf = tmp_path / "slurm.conf"
    conf.write_text("ClusterName=c\nAuthAltParameters=jwt_key=/theirs\n")
    conf.chmod(0o640)
    script = (
        'SLURM_ETC=${1%/*}; for i in 1 2; do set_conf_lines "$1" "AuthAltTypes=auth/jwt" "A=$i"; echo $replaced; done'
    )
    done = bash(script + '; set_conf_lines "$1" "AuthAltTypes=auth/jwt" A=2; echo $replaced', str(conf))
    lines = conf.read_text().splitlines()
    assert done.stdout.split() == ["yes", "yes", "no"], done.stderr
    assert lines[:3] == ["ClusterName=c", "AuthAltParameters=jwt_key=/theirs", ""]
    assert lines[3].startswith("# slurm-gateway:")
    assert lines[4:] == ["AuthAltTypes=auth/jwt", "A=2"]
    assert conf.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(("accounting", "kept"), [("yes", ["AccountingStoreFlags=job_comment,job_extra"]), ("no", [])])
def test_accounting_keeps_the_markers_of_jobs_beside_what_an_operator_has_it_keep(
    tmp_path: Path, accounting: str, kept: list[str]
) -> None:
    (tmp_path / "slurm.conf").write_text("PrivateData=jobs\nAccountingStoreFlags=job_comment\n")
    script = (
        f'eval "$(sed -n "/^set_configuration()/,/^}}/p" "{HEAD_NODE}/configure.sh")"; SLURM_ETC=$1 accounting=$2 '
        "slurm_conf=$1/slurm.conf slurmdbd_conf=$1/slurmdbd.conf jwt_key=/key SLURMDBD=no "
        'jobcomp_lines=(); note() { echo "noted: $1"; }; set_configuration'
    )
    done = bash(script, str(tmp_path), accounting)
    _, ours = (tmp_path / "slurm.conf").read_text().split("# slurm-gateway:")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "noted: daemons"
    assert [line for line in ours.splitlines() if line.startswith("Accounting")] == kept


def function(name: str) -> str:
    """Give what defines one of configure.sh's functions."""
    return f'eval "$(sed -n "/^{name}()/,/^}}/p" "{HEAD_NODE}/configure.sh")"; '


# In place of slurmctld, systemd and lib.sh, whose directories are the machine's own.
ON_NO_MACHINE = """set -euo pipefail
STATE_DIRECTORY=$1 INSTALL_DIRECTORY=$1 SLURM_PREFIX=$1 SYSTEMCTL=systemctl
say() { :; }; fail() { echo "$1" >&2 && exit 99; }; retry() { shift 2 && "$@"; }; wait_for() { :; }
runs_slurmdbd() { false; }; systemctl() { echo "systemctl $*"; "$succeeds"; }
"""


def test_what_one_run_changed_and_did_not_put_in_force_the_next_run_does(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("follow-keys.sh", "bin/scontrol"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} $*\n")
        (tmp_path / name).chmod(0o755)
    run = ON_NO_MACHINE + "".join(map(function, ("note", "is_noted", "forget", "apply_to_daemons")))

    def apply(more: str, succeeds: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", f"{run} succeeds={succeeds}; {more} apply_to_daemons", "test", tmp_path],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    failed, next_one, after = apply("note daemons;", "false"), apply("", "true"), apply("", "true")

    assert (failed.returncode, failed.stderr) == (99, "slurmctld did not restart: see journalctl -u slurmctld\n")
    assert next_one.stdout.splitlines() == ["systemctl restart slurmctld.service", "bin/scontrol reconfigure"]
    assert (after.returncode, after.stdout.splitlines()) == (0, ["follow-keys.sh"])


@pytest.mark.parametrize(
    ("has_ensurepip", "made", "filled"),
    [("yes", "-m venv", ""), ("no", "-m venv --without-pip", "/dist-packages: ")],
)
def test_the_services_environment_is_made_with_and_without_ensurepip(
    tmp_path: Path, has_ensurepip: str, made: str, filled: str
) -> None:
    (tmp_path / "requirements.txt").write_text("boto3\n")
    python = """#!/bin/bash
case "$*" in
  *"import ensurepip"*) [ "$HAS_ENSUREPIP" = yes ] ;;
  *"import os, pip"*) echo /dist-packages ;;
  "-m venv"*) echo "$*" >>"$CALLS" && mkdir -p "${@: -1}/bin" && cp "$0" "${@: -1}/bin/python" ;;
  "-m pip"*) echo "${PYTHONPATH:+$PYTHONPATH: }$*" >>"$CALLS" ;;
esac
"""
    (tmp_path / "python3").write_text(python)
    (tmp_path / "python3").chmod(0o755)
    calls = tmp_path / "calls"
    run = f"{ON_NO_MACHINE} {function('make_python')} python=; make_python; make_python"
    done = subprocess.run(
        ["bash", "-c", run, "test", tmp_path],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(calls), "HAS_ENSUREPIP": has_ensurepip},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    [venv, packages] = calls.read_text().splitlines()
    assert venv == f"{made} {tmp_path}/venv"
    assert packages.startswith(f"{filled}-m pip install ")
    assert ("--ignore-installed" in packages) == (has_ensurepip == "no")


def test_our_own_lines_are_not_taken_for_an_operators(tmp_path: Path) -> None:
    (tmp_path / "slurm.conf").write_text("A=1\n\n# slurm-gateway: ours\nA=2\n")
    assert bash('SLURM_ETC=$1 conf_value "$1/slurm.conf" A', str(tmp_path)).stdout == "1"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("list_with '' jobs", "jobs"),
        ("list_with cloud jobs", "cloud,jobs"),
        ("list_with jobs,cloud jobs", "jobs,cloud"),
        ("list_without jwt_key=/a,userclaimfield=sun,jwks=/b jwt_key= jwks=", "userclaimfield=sun"),
        ("list_without '' jwks=", ""),
        ("list_value jwt_key=/a,jwks=/b jwks", "/b"),
        ("list_value jwt_key=/a jwks", ""),
    ],
)
def test_comma_separated_values_are_merged(call: str, expected: str) -> None:
    done = bash(call)
    assert (0, expected) == (done.returncode, done.stdout), done.stderr


def test_environment_file_is_data_and_keeps_trailing_equals_signs(tmp_path: Path) -> None:
    file = tmp_path / "environment"
    file.write_text("AWS_SESSION_TOKEN=a+b/c==\nrm -rf /\nBAD=$(touch " + str(tmp_path / "ran") + ")\n")
    done = bash('load_environment "$1"; printf "%s" "$AWS_SESSION_TOKEN"', str(file))
    assert (done.stdout, (tmp_path / "ran").exists()) == ("a+b/c==", False)


def test_file_is_replaced_by_rename(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("old")
    with file.open() as reader:
        done = bash('replace_file "$1" 0600 "$(id -u):$(id -g)" <<<new; echo "$replaced"', str(file))
        assert (reader.read(), file.read_text(), done.stdout) == ("old", "new\n", "yes\n")


def test_unexplained_failure_names_the_line_and_the_command() -> None:
    done = bash("false")
    assert (done.returncode, '"false" failed with exit status 1' in done.stderr) == (1, True)


class MetadataService(BaseHTTPRequestHandler):
    """Answers as the instance metadata service does, version 2."""

    def do_PUT(self) -> None:
        self.answer("session-token")

    def do_GET(self) -> None:
        known = {
            "/latest/meta-data/iam/security-credentials/": "head-node-role",
            "/latest/meta-data/iam/security-credentials/head-node-role": json.dumps(
                {
                    "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "s/+=",
                    "Token": "t/+=", "Expiration": "2099-11-21T12:00:00Z",
                },
                indent=2,
            ),
        }  # fmt: skip
        assert self.headers["X-aws-ec2-metadata-token"] == "session-token"
        self.answer(known[self.path])

    def answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing on standard error."""


def test_instances_credentials_are_handed_on_as_botocore_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "run" / "credentials.json"
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = /usr/bin/cat {file}\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), MetadataService) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        user = pwd.getpwuid(os.getuid()).pw_name
        done = subprocess.run(
            [HEAD_NODE / "hand-on-credentials.sh", file, user],
            env={"PATH": os.environ["PATH"], "AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        server.shutdown()
    assert done.returncode == 0, done.stderr
    read = subprocess.run(
        [
            sys.executable, "-c",
            "import botocore.session as s; c = s.Session().get_credentials().get_frozen_credentials(); print(*c[:3])",
        ],
        env={"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (read.stdout, file.stat().st_mode & 0o777) == ("ASIAEXAMPLE s/+= t/+=\n", 0o400)
    assert "s/+=" not in done.stdout + done.stderr
