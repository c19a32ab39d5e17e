"""What a function's environment says, read once at start into frozen objects.

A missing or wrong variable stops the function before its first request: a deployment that is wrong
should be seen as failing, not as refusing.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from .errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PARAMETER_NAME = re.compile(r"/?[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*")
_URL = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]+)?")
_QUEUE_URL = re.compile(r"https?://[A-Za-z0-9.:/_-]+")
_HOST_NAME = re.compile(r"[A-Za-z0-9.-]*")
_CLUSTER = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_DIRECTORY = re.compile(r"/(?:[A-Za-z0-9_./-]|\{user\})*")
_TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_BUCKET = re.compile(r"[a-z0-9.-]{3,63}")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]")
_PERCENT = re.compile(r"0|[1-9][0-9]?|100")
_DAYS = re.compile(r"[1-9][0-9]{0,3}")
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class _Environment:
    """Reads variables and collects what is wrong with them, so that one start names every fault."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._faults: list[str] = []

    def parameter_name(self, variable: str, holds: str) -> str:
        value = self._environ.get(variable, "")
        if not _PARAMETER_NAME.fullmatch(value):
            self._fault(variable, f"the name of the SSM parameter that holds {holds}")
        return value

    def flag(self, variable: str, means: str) -> bool:
        value = self._environ.get(variable, "")
        if value not in {"true", "false"}:
            self._fault(variable, f'"true" or "false": {means}')
        return value == "true"

    def text(self, variable: str, pattern: re.Pattern[str], holds: str) -> str:
        value = self._environ.get(variable, "")
        if not pattern.fullmatch(value):
            self._fault(variable, holds)
        return value

    def log_level(self) -> str:
        value = self._environ.get("LOG_LEVEL", "INFO")
        if value not in _LOG_LEVELS:
            self._fault("LOG_LEVEL", f"one of {', '.join(_LOG_LEVELS)} (INFO when it is not set)")
        return value

    def finish(self) -> None:
        if self._faults:
            raise SettingsError("; ".join(self._faults))

    def _fault(self, variable: str, should_hold: str) -> None:
        found = repr(self._environ[variable]) if variable in self._environ else "not set"
        self._faults.append(f"environment variable {variable} is {found}; it should hold {should_hold}")


_KEYS = "the list of KMS signing keys"
_ACCESS = "the access document"
_KEPT = "for how many days a job's record is kept, from 1 to 9999"
_SUDO = "whether the images' default users have sudo, and so may get no token"
_BUCKET_NAME = "the bucket's name"
_HEAD_NODE = "whether tokens of `scontrol token` pass on /slurm and /slurmdb"


class _Settings(ABC):
    """What a function reads from its environment when it starts; each kind says what it reads."""

    __slots__ = ()

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Take a mapping like `os.environ`; raise SettingsError naming every wrong variable."""
        env = _Environment(environ)
        settings = cls._read(env)
        env.finish()
        return settings

    @classmethod
    @abstractmethod
    def _read(cls, env: _Environment) -> Self: ...


@dataclass(frozen=True, slots=True)
class JwksSettings(_Settings):
    """Settings of the function behind GET /.well-known/jwks.json."""

    keys_parameter: str
    log_level: str

    @classmethod
    def _read(cls, env: _Environment) -> Self:
        return cls(
            keys_parameter=env.parameter_name("KEYS_PARAMETER", _KEYS),
            log_level=env.log_level(),
        )


@dataclass(frozen=True, slots=True)
class AuthorizerSettings(_Settings):
    """Settings of the edge authorizer."""

    keys_parameter: str
    allow_head_node_tokens: bool
    default_user_sudo: bool
    log_level: str

    @classmethod
    def _read(cls, env: _Environment) -> Self:
        return cls(
            keys_parameter=env.parameter_name("KEYS_PARAMETER", _KEYS),
            allow_head_node_tokens=env.flag("ALLOW_HEAD_NODE_TOKENS", _HEAD_NODE),
            default_user_sudo=env.flag("DEFAULT_USER_SUDO", _SUDO),
            log_level=env.log_level(),
        )


@dataclass(frozen=True, slots=True)
class TokenSettings(_Settings):
    """Settings of the function behind POST /token and POST /token/oidc/{issuer}."""

    keys_parameter: str
    access_parameter: str
    bucket: str
    default_user_sudo: bool
    log_level: str

    @classmethod
    def _read(cls, env: _Environment) -> Self:
        return cls(
            keys_parameter=env.parameter_name("KEYS_PARAMETER", _KEYS),
            access_parameter=env.parameter_name("ACCESS_PARAMETER", _ACCESS),
            bucket=env.text("BUCKET", _BUCKET, _BUCKET_NAME),
            default_user_sudo=env.flag("DEFAULT_USER_SUDO", _SUDO),
            log_level=env.log_level(),
        )


@dataclass(frozen=True, slots=True)
class JobsSettings(_Settings):
    """Settings of the function behind /jobs and /scripts.

    `slurmrestd_url` leads to the load balancer, whose certificate bears `slurmrestd_tls_name` ("" for the URL's own
    name). `working_directory` has `{user}` for the user's name.
    """

    slurmrestd_url: str
    slurmrestd_tls_name: str
    cluster_name: str
    working_directory: str
    jobs_table: str
    job_record_days: int
    submissions_table: str
    bucket: str
    read_log_percent: int
    head_node_queue_url: str
    log_level: str

    @classmethod
    def _read(cls, env: _Environment) -> Self:
        days = env.text("JOB_RECORD_DAYS", _DAYS, _KEPT)
        percent = env.text("READ_LOG_PERCENT", _PERCENT, "of how many reads in a hundred the log tells, from 0 to 100")
        return cls(
            slurmrestd_url=env.text("SLURMRESTD_URL", _URL, "the load balancer's URL, without a path"),
            slurmrestd_tls_name=env.text("SLURMRESTD_TLS_NAME", _HOST_NAME, "the name in its certificate, or nothing"),
            cluster_name=env.text("CLUSTER_NAME", _CLUSTER, "Slurm's ClusterName"),
            working_directory=env.text(
                "WORKING_DIRECTORY", _DIRECTORY, "an absolute path, with {user} for the user's name"
            ),
            jobs_table=env.text("JOBS_TABLE", _TABLE, "the name of the table of jobs"),
            job_record_days=int(days) if days.isdigit() else 0,
            submissions_table=env.text("SUBMISSIONS_TABLE", _TABLE, "the name of the table of submissions"),
            bucket=env.text("BUCKET", _BUCKET, _BUCKET_NAME),
            head_node_queue_url=env.text("HEAD_NODE_QUEUE_URL", _QUEUE_URL, "the URL of the queue to the head node"),
            read_log_percent=int(percent) if percent.isdigit() else 0,
            log_level=env.log_level(),
        )


@dataclass(frozen=True, slots=True)
class InboxSettings(_Settings):
    """Settings of the function behind the inbox's queue.

    `working_directory` and `input_directory` have `{user}` for the user's name; the rest is as for the functions
    behind POST /token and /jobs.
    """

    keys_parameter: str
    access_parameter: str
    default_user_sudo: bool
    slurmrestd_url: str
    slurmrestd_tls_name: str
    cluster_name: str
    working_directory: str
    input_directory: str
    jobs_table: str
    job_record_days: int
    inbox_table: str
    bucket: str
    inbox_queue_url: str
    dead_letters_url: str
    head_node_queue_url: str
    log_level: str

    @classmethod
    def _read(cls, env: _Environment) -> Self:
        days = env.text("JOB_RECORD_DAYS", _DAYS, "for how many days a job's record is kept, from 1 to 9999")
        return cls(
            keys_parameter=env.parameter_name("KEYS_PARAMETER", _KEYS),
            access_parameter=env.parameter_name("ACCESS_PARAMETER", _ACCESS),
            default_user_sudo=env.flag("DEFAULT_USER_SUDO", _SUDO),
            slurmrestd_url=env.text("SLURMRESTD_URL", _URL, "the load balancer's URL, without a path"),
            slurmrestd_tls_name=env.text("SLURMRESTD_TLS_NAME", _HOST_NAME, "the name in its certificate, or nothing"),
            cluster_name=env.text("CLUSTER_NAME", _CLUSTER, "Slurm's ClusterName"),
            working_directory=env.text(
                "WORKING_DIRECTORY", _DIRECTORY, "an absolute path, with {user} for the user's name"
            ),
            input_directory=env.text(
                "INPUT_DIRECTORY", _DIRECTORY, "an absolute path, with {user} for the user's name"
            ),
            jobs_table=env.text("JOBS_TABLE", _TABLE, "the name of the table of jobs"),
            job_record_days=int(days) if days.isdigit() else 0,
            inbox_table=env.text("INBOX_TABLE", _TABLE, "the name of the table of the inbox's objects"),
            bucket=env.text("BUCKET", _BUCKET, _BUCKET_NAME),
            inbox_queue_url=env.text("INBOX_QUEUE_URL", _QUEUE_URL, "the URL of the inbox's queue"),
            dead_letters_url=env.text("DEAD_LETTERS_URL", _QUEUE_URL, "the URL of the inbox's dead-letter queue"),
            head_node_queue_url=env.text("HEAD_NODE_QUEUE_URL", _QUEUE_URL, "the URL of the queue to the head node"),
            log_level=env.log_level(),
        )


@dataclass(frozen=True, slots=True)
class RecorderSettings(_Settings):
    """Settings of the function that keeps what the head node tells."""

    cluster_name: str
    jobs_table: str
    job_record_days: int
    heartbeats_table: str
    log_level: str

    @classmethod
    def _read(cls, env: _Environment) -> Self:
        days = env.text("JOB_RECORD_DAYS", _DAYS, _KEPT)
        return cls(
            cluster_name=env.text("CLUSTER_NAME", _CLUSTER, "Slurm's ClusterName"),
            jobs_table=env.text("JOBS_TABLE", _TABLE, "the name of the table of jobs"),
            job_record_days=int(days) if days.isdigit() else 0,
            heartbeats_table=env.text("HEARTBEATS_TABLE", _TABLE, "the name of the table of heartbeats"),
            log_level=env.log_level(),
        )


@dataclass(frozen=True, slots=True)
class HealthSettings(_Settings):
    """Settings of the function behind GET /health."""

    cluster_name: str
    heartbeats_table: str
    log_level: str

    @classmethod
    def _read(cls, env: _Environment) -> Self:
        return cls(
            cluster_name=env.text("CLUSTER_NAME", _CLUSTER, "Slurm's ClusterName"),
            heartbeats_table=env.text("HEARTBEATS_TABLE", _TABLE, "the name of the table of heartbeats"),
            log_level=env.log_level(),
        )


@dataclass(frozen=True, slots=True)
class CanarySettings(_Settings):
    """Settings of the canary. `api_url` is where clients find the API."""

    api_url: str
    region: str
    keys_parameter: str
    log_level: str

    @classmethod
    def _read(cls, env: _Environment) -> Self:
        return cls(
            api_url=env.text("API_URL", _URL, "the API's URL, without a path"),
            region=env.text("AWS_REGION", _REGION, "the AWS region, which Lambda sets"),
            keys_parameter=env.parameter_name("KEYS_PARAMETER", _KEYS),
            log_level=env.log_level(),
        )
