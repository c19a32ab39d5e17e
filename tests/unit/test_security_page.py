"""docs/security.md names tests that exist."""

from __future__ import annotations

import re

from local.address import CHECKOUT

NAMED = re.compile(r"`((?:tests/real/)?test_[a-z_]+\.py)`")


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = NAMED.findall((CHECKOUT / "docs/security.md").read_text())

    paths = {CHECKOUT / name if "/" in name else CHECKOUT / "tests/unit" / name for name in named}

    assert len(paths) >= 10
    assert {path for path in paths if not path.is_file()} == set()
