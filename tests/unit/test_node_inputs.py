"""Inputs of held jobs: a real child with this test's own user in place of a job's, and a scontrol that is a script."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.response import StreamingBody
from slurm_gateway_node import job_user
from slurm_gateway_node.bandwidth import Bandwidth
from slurm_gateway_node.files_settings import FilesSettings
from slurm_gateway_node.inputs import Inputs
from slurm_gateway_node.job_user import JobUser
from slurm_gateway_node.orders import InputOrder, OrderError
from slurm_gateway_node.slurm_job import SlurmJobs

PROGRAMS = Path(job_user.__file__).parent
MARKER = f"slurm-gateway:1795250000:{'a' * 32}:"
SCONTROL = """\
#!/bin/sh
cd "$(dirname "$0")"
case $1 in
  --json) cat job.json ;;
  release) echo "$2" >> released ;;
  *) exit 1 ;;
esac
"""


@dataclass
class World:
    """A job as scontrol shows it, an object, and the inputs; `meanwhile` happens while the object is copied."""

    directory: Path
    meanwhile: Callable[[], None] = lambda: None

    def job(self, **changes: Any) -> None:
        shown = {
            "job_id": 12, "user_name": "alice", "extra": MARKER, "job_state": ["PENDING"], "hold": True,
            "state_reason": "JobHeldUser", **changes,
        }  # fmt: skip
        (self.directory / "job.json").write_text(json.dumps({"jobs": [shown]}))

    def get_object(self, **_: object) -> dict[str, Any]:
        self.meanwhile()
        return {"ContentLength": 3, "Body": StreamingBody(io.BytesIO(b"abc"), 3)}

    def order(self) -> InputOrder:
        return InputOrder(
            cluster="c", job_id="12", user="alice", submitted=1795250000, marker=MARKER, bucket="bucket",
            key="inbox/a", version="v", size=3, path=f"{self.directory}/inbox/a",
        )  # fmt: skip

    def copy(self) -> None:
        settings = FilesSettings(
            common=cast("Any", None), bucket="bucket", queue_url="", shared=(str(self.directory),), output_bytes=1,
            output_files=1, bandwidth=1 << 30,
        )  # fmt: skip
        slurm = SlurmJobs(str(self.directory / "scontrol"))
        Inputs(settings, slurm, cast("Any", self), Bandwidth(1 << 30)).copy(self.order(), keep_alive=lambda: None)

    def copied(self) -> bool:
        return Path(self.order().path).exists()

    def released(self) -> str:
        file = self.directory / "released"
        return file.read_text() if file.exists() else ""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    def start(user: JobUser, program: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", "-S", "-B", PROGRAMS / f"{program}.py"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    monkeypatch.setattr(job_user, "find", lambda name: JobUser(name, 1001, 1001, (1001,)))
    monkeypatch.setattr(job_user, "start", start)
    (tmp_path / "scontrol").write_text(SCONTROL)
    (tmp_path / "scontrol").chmod(0o755)
    made = World(tmp_path)
    made.job()
    return made


def test_a_held_job_is_released_once_its_input_is_there(world: World) -> None:
    world.copy()

    assert Path(world.order().path).read_bytes() == b"abc"
    assert world.released() == "12\n"


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_job_that_an_administrator_holds_gets_its_input_and_stays_held(
    world: World, caplog: pytest.LogCaptureFixture, when: str
) -> None:
    def hold() -> None:
        world.job(state_reason="JobHeldAdmin")

    if when == "before":
        hold()
    else:
        world.meanwhile = hold

    with caplog.at_level(logging.WARNING):
        # Nothing is raised: the order is done, and the administrator's release is what the job waits for.
        world.copy()

    assert (world.copied(), world.released()) == (True, "")
    assert "job 12 of alice stays held: an administrator holds it" in caplog.text


def test_a_job_whose_name_is_no_text_gets_its_input(world: World) -> None:
    world.job(name="caf?")
    shown = world.directory / "job.json"
    shown.write_bytes(shown.read_bytes().replace(b"caf?", b"caf\xe9"))

    world.copy()

    assert (world.copied(), world.released()) == (True, "12\n")


def test_a_job_that_was_released_meanwhile_is_left_as_it_is(world: World) -> None:
    world.meanwhile = lambda: world.job(hold=False, state_reason="Priority")

    world.copy()

    assert (world.copied(), world.released()) == (True, "")


def test_another_job_that_got_the_number_meanwhile_is_not_released(world: World) -> None:
    world.meanwhile = lambda: world.job(extra="")

    with pytest.raises(OrderError, match="is not the one"):
        world.copy()

    assert world.released() == ""
