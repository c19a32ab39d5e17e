"""The services' lines in systemd's journal."""

from __future__ import annotations

import logging
import pwd

from slurm_gateway_node import logs


def test_what_users_wrote_makes_no_line_of_the_log_its_own() -> None:
    record = logging.makeLogRecord(
        {"msg": "an order is refused: %s", "args": ("/a\n<3>all is lost\u2028b",), "levelno": 30}
    )

    assert logs.JournalFormatter("%(message)s").format(record) == "<4>an order is refused: /a <3>all is lost b"


def test_a_traceback_has_its_lines() -> None:
    try:
        pwd.getpwnam("no such user")
    except KeyError as exc:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": (KeyError, exc, exc.__traceback__)})

    assert len(logs.JournalFormatter("%(message)s").format(record).splitlines()) > 2
