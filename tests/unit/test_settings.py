from __future__ import annotations

import dataclasses
import importlib
import sys
from typing import Any

import pytest

from slurm_gateway.errors import SettingsError
from slurm_gateway.settings import AuthorizerSettings, JwksSettings, TokenSettings

GOOD = {
    "KEYS_PARAMETER": "/slurm-gateway/requirements/signing-keys",
    "ACCESS_PARAMETER": "/slurm-gateway/requirements/access",
    "BUCKET": "a-bucket",
    "ALLOW_HEAD_NODE_TOKENS": "false",
    "DEFAULT_USER_SUDO": "true",
    "LOG_LEVEL": "WARNING",
}
READS = [
    (JwksSettings, "KEYS_PARAMETER"),
    (AuthorizerSettings, "KEYS_PARAMETER"),
    (AuthorizerSettings, "ALLOW_HEAD_NODE_TOKENS"),
    (AuthorizerSettings, "DEFAULT_USER_SUDO"),
    (TokenSettings, "KEYS_PARAMETER"),
    (TokenSettings, "ACCESS_PARAMETER"),
    (TokenSettings, "BUCKET"),
    (TokenSettings, "DEFAULT_USER_SUDO"),
]


def test_settings_are_what_the_environment_says() -> None:
    assert TokenSettings(
        keys_parameter="/slurm-gateway/requirements/signing-keys",
        access_parameter="/slurm-gateway/requirements/access",
        bucket="a-bucket",
        default_user_sudo=True,
        log_level="WARNING",
    ) == TokenSettings.from_environ(GOOD)
    assert AuthorizerSettings(
        keys_parameter="/slurm-gateway/requirements/signing-keys",
        allow_head_node_tokens=False,
        default_user_sudo=True,
        log_level="WARNING",
    ) == AuthorizerSettings.from_environ(GOOD)


def test_the_log_level_is_info_when_it_is_not_set() -> None:
    environ = {name: value for name, value in GOOD.items() if name != "LOG_LEVEL"}

    assert JwksSettings.from_environ(environ).log_level == "INFO"


@pytest.mark.parametrize(("settings", "variable"), READS)
def test_a_missing_variable_is_named_with_what_it_should_hold(settings: Any, variable: str) -> None:
    environ = {name: value for name, value in GOOD.items() if name != variable}

    with pytest.raises(SettingsError, match=f"{variable} is not set; it should hold"):
        settings.from_environ(environ)


@pytest.mark.parametrize(("settings", "variable"), [*READS, (JwksSettings, "LOG_LEVEL")])
@pytest.mark.parametrize("value", ["", "yes ", "a b", "/trailing/"])
def test_a_wrong_value_is_shown_beside_its_variable(settings: Any, variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} is {value!r}; it should hold"):
        settings.from_environ({**GOOD, variable: value})


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        TokenSettings.from_environ({})

    for variable in ("KEYS_PARAMETER", "ACCESS_PARAMETER", "DEFAULT_USER_SUDO"):
        assert variable in str(raised.value)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        JwksSettings.from_environ(GOOD).keys_parameter = "/other"


@pytest.mark.parametrize("module", ["edge_authorizer", "token_api", "jwks_api"])
def test_a_function_with_a_wrong_environment_does_not_start(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in GOOD:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.delitem(sys.modules, f"slurm_gateway.{module}", raising=False)

    with pytest.raises(SettingsError, match="KEYS_PARAMETER"):
        importlib.import_module(f"slurm_gateway.{module}")
