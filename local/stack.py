"""The whole stack on one machine: what is started after what, and how to tell that it works.

Every step looks first and acts only where something is missing, so that bringing the stack up twice does no harm and
bringing it up after a crash heals it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import time
from typing import TYPE_CHECKING

from local import alb, aws_emulator, cluster, principals, stacks
from local.address import GATEWAY_PORT, LOAD_BALANCER_PORT, LOG_DIRECTORY, STATE_DIRECTORY, address, url
from local.gateway import service as gateway
from local.gateway.config import build_config
from local.process import wait_until
from local.token import TokenError, mint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from local.stacks import DeployedApi

ENV_FILE = STATE_DIRECTORY / "env"
PROBE_PATH = "/slurm/v0.0.42/nodes/"
READY_TIMEOUT = 60.0
_UNITS = (*cluster.UNITS, *cluster.CONFIGURED_UNITS)


def up(release: str, parameters: Mapping[str, str]) -> None:
    """Bring the stack up or heal it, wait until a token opens the whole way to Slurm, and write ``.local/env``.

    Takes the Slurm release and the parameters of template.yaml that differ from their defaults. Raises ProcessError,
    ClusterError, RootfsError, MachineError, EmulatorError, StackError or TemplateError, each with what to do.
    """
    with _alone():
        begin = time.monotonic()
        root = cluster.ensure_rootfs(release)
        _say("AWS emulator, and the stacks in it")
        aws_emulator.start()
        requirements = stacks.deploy_requirements()
        keys = principals.ensure(requirements)
        # Booting takes a while and needs nobody: it goes on while the API is deployed.
        cluster.start(release)
        api = stacks.deploy_api(parameters)
        _say("head node: headnode/configure.sh")
        cluster.wait_ready()
        configure_head_node(requirements, stacks.head_node_instance_id(requirements))
        cluster.wait_ready()
        _say("load balancer and gateway")
        _start_load_balancer(api, requirements, root)
        _start_gateway(api)
        aws_emulator.save()
        _write_env(requirements, keys)
        wait_until(_whole_path_answers, "a token to open the way to Slurm", READY_TIMEOUT)
        print(f"up after {time.monotonic() - begin:.0f} s: {url(GATEWAY_PORT)}, Slurm {release}", flush=True)


def down() -> None:
    """Stop all of it; what the cluster and the emulator hold stays on disk."""
    with _alone():
        gateway.stop()
        alb.stop()
        cluster.stop()
        aws_emulator.stop()


def status() -> list[tuple[str, bool, str]]:
    """Give every part's name, whether it answers, and where it is."""
    release = cluster.running_release()
    parts = [
        ("gateway", gateway.is_answering(), url(GATEWAY_PORT)),
        ("load balancer", alb.is_answering(), url(LOAD_BALANCER_PORT)),
        ("AWS emulator", aws_emulator.is_healthy(), aws_emulator.endpoint()),
        ("head node", release is not None, f"Slurm {release}" if release else "down"),
    ]
    if release is not None:
        parts += [(unit.removesuffix(".service"), _is_active(unit), "") for unit in _UNITS]
    return parts


def _is_active(unit: str) -> bool:
    return cluster.run(["systemctl", "is-active", "--quiet", unit]).returncode == 0


def _start_load_balancer(api: DeployedApi, requirements: Mapping[str, str], root: Path) -> None:
    alb.start(
        alb.build_config(
            load_balancer=api.load_balancer,
            listener_rules=api.listener_rules,
            target_group=stacks.target_group(),
            target_group_arn=requirements["TargetGroupArn"],
            root=root,
        )
    )


def _start_gateway(api: DeployedApi) -> None:
    administrator = principals.administrator()
    gateway.start(
        build_config(
            body=api.body,
            stage=api.stage,
            listeners={api.listener_arn: url(LOAD_BALANCER_PORT)},
            endpoint=aws_emulator.endpoint(),
            credentials=(administrator.access_key_id, administrator.secret_access_key),
            api_id=api.api_id,
            region=aws_emulator.REGION,
            account=aws_emulator.ACCOUNT,
            host=address(),
            port=GATEWAY_PORT,
            access_log=LOG_DIRECTORY / "access.log",
        )
    )


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hold this checkout's lock: two at once would start things twice."""
    STATE_DIRECTORY.mkdir(exist_ok=True)
    with (STATE_DIRECTORY / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another make of this checkout to finish")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _whole_path_answers() -> bool:
    import httpx

    try:
        token = mint("alice")
        answer = httpx.get(
            url(GATEWAY_PORT) + PROBE_PATH,
            headers={"X-SLURM-USER-NAME": "alice", "X-SLURM-USER-TOKEN": token},
            timeout=10,
            trust_env=False,
        )
    except (TokenError, httpx.HTTPError):
        return False
    return answer.status_code == 200


def _write_env(requirements: Mapping[str, str], keys: Mapping[str, tuple[str, str]]) -> None:
    values = {
        "API": url(GATEWAY_PORT),
        "AWS_ENDPOINT_URL": aws_emulator.endpoint(),
        "AWS_REGION": aws_emulator.REGION,
        "BUCKET": requirements["BucketName"],
    }
    for name, (key_id, secret) in keys.items():
        values[f"{name.upper()}_AWS_ACCESS_KEY_ID"] = key_id
        values[f"{name.upper()}_AWS_SECRET_ACCESS_KEY"] = secret
    ENV_FILE.touch(mode=0o600)
    ENV_FILE.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items()))
    # Under sudo, whoever ran make is to read it, not root alone.
    if "SUDO_UID" in os.environ:
        os.chown(ENV_FILE, int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"]))


def configure_head_node(requirements: Mapping[str, str], instance_id: str, *more: str) -> None:
    """Run configure.sh on the running head node as ``cluster-config.yaml`` has ParallelCluster run it.

    Takes the requirements stack's outputs, the instance to register, and further arguments. Raises ClusterError.
    """
    cluster.configure(
        arguments=[*requirements["HeadNodeArguments"].split(), *more],
        environment=stacks.head_node_environment(requirements),
        instance_id=instance_id,
    )


def _say(what: str) -> None:
    print(f"{what} ...", flush=True)
