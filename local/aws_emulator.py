"""The AWS emulator of this checkout: ministack on the checkout's own address, with SigV4 and IAM enforced.

Its state lives under ``.local/state/aws``. It is written when the emulator stops and when :func:`save` asks,
which every deployment does: keys, stacks and access keys survive ``make down`` and ``make up``, and
``kill -9`` loses only what came after the last save (objects in S3 are written at once).

The emulator runs inside ``local.aws_emulator_app``, which closes what ministack leaves open and says why.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from local.address import AWS_EMULATOR_PORT, CHECKOUT, STATE_DIRECTORY, address, url
from local.process import Process, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REGION = "us-east-1"
ACCOUNT = "000000000000"
DIRECTORY = STATE_DIRECTORY / "state" / "aws"
ROOT_FILE = DIRECTORY / "root.json"
SECRET_HEADER = "x-local-emulator-secret"  # noqa: S105 (a header's name)
START_TIMEOUT = 30.0

PROCESS = Process("aws-emulator")


class EmulatorError(Exception):
    """The AWS emulator did not do what the stack needs; the message says what to look at."""


@dataclass(frozen=True)
class Credentials:
    """An access key: id, secret and, for temporary ones, the session token."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def environment(self) -> dict[str, str]:
        """Give the variables by which the AWS CLI and SDKs read these credentials."""
        variables = {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
        }
        if self.session_token is not None:
            variables["AWS_SESSION_TOKEN"] = self.session_token
        return variables


def endpoint() -> str:
    """Give the emulator's URL, without a slash at its end."""
    return url(AWS_EMULATOR_PORT)


def root() -> Credentials:
    """Give the account root's credentials, made at the first call and kept in a file only its owner may read.

    ministack takes as root whatever key its environment names, so this is how everything begins: with root
    one makes the administrator (local/principals.py), and from then on nobody uses root. That matters,
    because ministack evaluates no policy at all for root, not even a key policy that denies.
    """
    if not ROOT_FILE.exists():
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        DIRECTORY.chmod(0o700)
        made = Credentials("AKIA" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30))
        write_private(ROOT_FILE, json.dumps(asdict(made)))
    return Credentials(**json.loads(ROOT_FILE.read_text()))


def start() -> None:
    """Start the emulator unless it runs and answers; replace one that runs and does not answer.

    Raises local.process.ProcessError with the end of its log when it does not become healthy within 30 s.
    """
    if is_healthy():
        return
    PROCESS.stop()
    temporary = DIRECTORY / "tmp"
    # A killed emulator leaves the unpacked code of its functions behind.
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    argv = [sys.executable, "-m", "local.aws_emulator_app"]
    PROCESS.start(argv, environ=_environment(temporary), cwd=CHECKOUT)
    wait_until(is_healthy, "the AWS emulator to answer", START_TIMEOUT, process=PROCESS)


def stop() -> bool:
    """Stop the emulator, which writes its state on the way out; False where none ran."""
    return PROCESS.stop(timeout=20.0)


def is_running() -> bool:
    """Tell whether the emulator's process lives, answering or not."""
    return PROCESS.is_running()


def is_healthy() -> bool:
    """Tell whether this checkout's own emulator answers, with IAM enforced."""
    if not PROCESS.is_running():
        return False
    try:
        return ask("GET", "/_ministack/health", timeout=2.0).get("auth") == "enabled"
    except (OSError, EmulatorError):
        return False


def save() -> None:
    """Write the emulator's state to disk now, so that even a killed emulator comes back with it."""
    # Records of thousands of jobs take a while on a machine that does much else.
    ask("POST", "/_local/save", timeout=60.0)


def client(service: str, credentials: Credentials | None = None) -> Any:  # noqa: ANN401 (boto3 has no types)
    """Give a boto3 client of the emulator. Takes the service's name and who calls (default: root)."""
    who = credentials or root()
    return _session().client(
        service,
        endpoint_url=endpoint(),
        region_name=REGION,
        aws_access_key_id=who.access_key_id,
        aws_secret_access_key=who.secret_access_key,
        aws_session_token=who.session_token,
        config=Config(retries={"total_max_attempts": 2}, s3={"addressing_style": "path"}),
    )


def ask(method: str, path: str, body: Mapping[str, object] | None = None, *, timeout: float) -> dict[str, Any]:
    """Call the emulator's own administration, beside the AWS APIs, and give its JSON answer.

    Raises OSError where nothing answers, EmulatorError where the answer is an error.
    """
    request = urllib.request.Request(  # noqa: S310 (the URL is http:// and our own)
        endpoint() + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={SECRET_HEADER: root().secret_access_key, "Content-Type": "application/json"},
    )
    try:
        # No proxy: the address is this machine's.
        with _direct().open(request, timeout=timeout) as answer:
            result = json.load(answer)
    except urllib.error.HTTPError as exc:
        with exc:
            raise EmulatorError(
                f"the AWS emulator answered {method} {path} with {exc.code}: {exc.read(500)!r}"
            ) from exc
    if not isinstance(result, dict):
        raise EmulatorError(f"the AWS emulator answered {method} {path} with {result!r} instead of an object")
    return result


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, by rename, so that no reader sees half of it."""
    new = path.with_suffix(path.suffix + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    new.replace(path)


@lru_cache(maxsize=1)
def _session() -> Any:  # noqa: ANN401 (boto3 has no types)
    return boto3.Session()


@lru_cache(maxsize=1)
def _direct() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _environment(temporary: Path) -> dict[str, str]:
    """Give the emulator's whole environment; its functions inherit it, so nothing of the caller's passes."""
    who = root()
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(temporary),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(temporary),
        # The functions reach the emulator by this; ministack's own default is 127.0.0.1.
        "AWS_ENDPOINT_URL": endpoint(),
        "AWS_ACCESS_KEY_ID": who.access_key_id,
        "AWS_SECRET_ACCESS_KEY": who.secret_access_key,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "*",
        "AUTH": "true",
        "BIND_HOST": address(),
        "GATEWAY_PORT": str(AWS_EMULATOR_PORT),
        "MINISTACK_HOST": address(),
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "LAMBDA_EXECUTOR": "local",
        # Listeners on every interface that nothing here needs.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # A container would not be this stack's: with no socket ministack leaves Docker alone.
        "DOCKER_HOST": f"unix://{temporary}/no-docker.sock",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(DIRECTORY / "services"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(DIRECTORY / "s3"),
        "LOG_LEVEL": "INFO",
    }
