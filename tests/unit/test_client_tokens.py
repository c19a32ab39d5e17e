"""Tokens of the client: renewed in time, kept privately, and never somebody else's."""

from __future__ import annotations

import base64
import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from gateway_stand_in import StandIn, gateway
from slurm_gateway_client import tokens
from slurm_gateway_client.command import cli
from slurm_gateway_client.errors import AuthenticationError, SettingsError, UnreachableError
from slurm_gateway_client.gateway import Gateway
from slurm_gateway_client.oidc_identity import github_token
from slurm_gateway_client.settings import Settings
from slurm_gateway_client.token_cache import TokenCache, folder, forget
from slurm_gateway_client.tokens import Token, Tokens

SECRET = "hush-hush-hush"


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with gateway() as served:
        yield served


class Mint:
    """Makes tokens that live 100 s, by a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.made = 0
        self.fails: Exception | None = None

    def fetch(self, _patience: float | None = None) -> Token:
        if self.fails:
            raise self.fails
        self.made += 1
        return Token(f"token-{self.made}", "alice", self.now + 100, self.now)

    def tokens(self, **more: Any) -> Tokens:
        return Tokens(self.fetch, clock=lambda: self.now, **more)


def jwt(**claims: Any) -> str:
    def part(document: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'RS256'})}.{part(claims)}.c2ln"


def settings(stand_in: StandIn, **more: Any) -> Settings:
    return Settings(stand_in.url, patience=1.0, **more)


def test_token_is_renewed_in_the_last_fifth_of_its_life() -> None:
    mint = Mint()
    ours = mint.tokens()
    assert ours.current().text == ours.current().text == "token-1"
    mint.now += 79
    assert ours.current().text == "token-1"
    mint.now += 2
    assert ours.current().text == "token-2"


def test_while_the_old_token_is_good_a_failed_renewal_does_not_matter() -> None:
    mint = Mint()
    ours = mint.tokens()
    ours.current()
    mint.now, mint.fails = mint.now + 90, UnreachableError("down")
    assert ours.current().text == "token-1"
    mint.now += 11
    with pytest.raises(UnreachableError):
        ours.current()


def test_refused_token_is_replaced_once_for_all_threads() -> None:
    mint = Mint()
    ours = mint.tokens()
    first = ours.current()
    assert ours.replace(first).text == "token-2"
    assert ours.replace(first).text == "token-2"
    assert mint.made == 2


def test_given_token_is_used_as_it_is_until_it_expires() -> None:
    text = jwt(sun="alice", exp=2000, iat=1900)
    given = tokens.given(text, 1950.0)
    assert given.headers() == {"X-SLURM-USER-NAME": "alice", "X-SLURM-USER-TOKEN": text}
    assert Tokens(None, start=given, clock=lambda: 1999.0).current() is given
    with pytest.raises(AuthenticationError, match="expired"):
        Tokens(None, start=given, clock=lambda: 2000.0).current()
    with pytest.raises(AuthenticationError, match="refuses"):
        Tokens(None, start=given).replace(given)


def test_given_token_of_another_user_than_asked_for_is_not_used(stand_in: StandIn) -> None:
    text = jwt(sun="alice", exp=4102444800)
    with pytest.raises(SettingsError, match="is one of alice, and bob is asked for"):
        Gateway.from_environ(settings(stand_in, given_token=text, user="bob"), environ={})
    assert Gateway.from_environ(settings(stand_in, given_token=text, user="alice"), environ={}).tokens.current()


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "a..c", jwt(sun="alice"), jwt(exp=3)])
def test_what_is_no_token_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(AuthenticationError, match="holds no Slurm token") as caught:
        tokens.given(text, 0.0)
    assert not text or len(text) < 3 or text not in str(vars(caught.value))


@pytest.mark.parametrize("variable", ["SLURM_JWT", "SLURM_GATEWAY_ID_TOKEN"])
@pytest.mark.parametrize("inside", ["\n", "\r\n ", " ", "\t", "\x00", "\N{RIGHT SINGLE QUOTATION MARK}"])
def test_token_with_what_no_header_holds_is_refused_without_showing_it(variable: str, inside: str) -> None:
    text = f"{jwt(sun='alice', exp=2000)}{inside}{SECRET}"
    with pytest.raises(SettingsError, match=f"{variable} has a blank, a line break") as caught:
        Settings.from_environ({"SLURM_GATEWAY_URL": "https://x", variable: text})
    assert SECRET not in str(vars(caught.value))


def test_token_may_stand_in_a_line_of_its_own() -> None:
    text = jwt(sun="alice", exp=2000)
    assert Settings.from_environ({"SLURM_GATEWAY_URL": "https://x", "SLURM_JWT": f"{text}\n"}).given_token == text


def test_token_is_in_no_representation() -> None:
    assert SECRET not in repr(Token(SECRET, "alice", 1.0, 0.0))


def test_token_is_kept_where_nobody_else_can_read_it(tmp_path: Path) -> None:
    cache = TokenCache(tmp_path / "new" / "slurm-gateway", ("who",), clock=lambda: 0.0)
    cache.write(Token(SECRET, "alice", 100.0, 0.0))
    [file] = (tmp_path / "new" / "slurm-gateway").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert cache.read() == Token(SECRET, "alice", 100.0, 0.0)


def test_token_that_others_could_have_written_or_read_is_not_used(tmp_path: Path) -> None:
    cache = TokenCache(tmp_path, ("who",), clock=lambda: 0.0)
    cache.write(Token(SECRET, "alice", 100.0, 0.0))
    next(tmp_path.iterdir()).chmod(0o644)
    assert cache.read() is None


def test_another_identity_finds_no_token(tmp_path: Path) -> None:
    TokenCache(tmp_path, ("alice", ""), clock=lambda: 0.0).write(Token(SECRET, "alice", 100.0, 0.0))
    assert TokenCache(tmp_path, ("bob", ""), clock=lambda: 0.0).read() is None
    assert TokenCache(tmp_path, ("", "alice"), clock=lambda: 0.0).read() is None


def test_expired_and_broken_files_are_as_if_they_were_not_there(tmp_path: Path) -> None:
    now = 0.0
    cache = TokenCache(tmp_path, ("who",), clock=lambda: now)
    cache.write(Token(SECRET, "alice", 100.0, 0.0))
    now = 100.0
    assert cache.read() is None
    TokenCache(tmp_path, ("other",), clock=lambda: now).write(Token("new", "alice", 200.0, 100.0))
    assert len(list(tmp_path.iterdir())) == 1, "an expired token is removed"
    next(tmp_path.iterdir()).write_text("{")
    assert TokenCache(tmp_path, ("other",)).read() is None
    assert forget(tmp_path) == 1


def test_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = TokenCache(tmp_path / "file" / "below", ("who",))
    cache.write(Token(SECRET, "alice", 100.0, 0.0))
    assert cache.read() is None


def test_cache_is_in_the_user_s_cache_folder() -> None:
    assert folder({"XDG_CACHE_HOME": "/var/cache/alice"}) == Path("/var/cache/alice/slurm-gateway")
    assert folder({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache/slurm-gateway"


def test_user_without_a_home_has_no_cache_and_gets_a_token(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert folder({}) is None
    assert folder({"XDG_CACHE_HOME": "/var/cache/alice"}) == Path("/var/cache/alice/slurm-gateway")
    stand_in.says(200, {"user": "alice", "token": "slurm-token", "expires_in": 900})
    ours = Gateway.from_environ(settings(stand_in, id_token="id-token"), environ={})
    assert ours.tokens.current().text == "slurm-token"
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert "No token is kept" in CliRunner().invoke(cli, ["logout"]).output


def test_github_job_gets_a_token_by_its_oidc_token(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login alice password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with gateway() as github:
        github.says(200, {"value": "github-id-token"})
        stand_in.says(200, {"user": "alice", "token": "slurm-token", "expires_in": 900, "expires_at": "..."})
        environ = {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{github.url}/?api-version=2",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": SECRET,
            "XDG_CACHE_HOME": str(tmp_path),
        }
        with Gateway.from_environ(settings(stand_in, user="alice", lifespan=900), environ=environ) as ours:
            assert ours.tokens.current().text == "slurm-token"
    [asked] = stand_in.asked
    assert (asked.method, asked.path) == ("POST", "/token/oidc/github")
    assert asked.headers["Authorization"] == "Bearer github-id-token"
    assert json.loads(asked.body) == {"user": "alice", "lifespan": 900}
    assert github.asked[0].path == "/?api-version=2&audience=slurm-gateway"
    assert github.asked[0].headers["Authorization"] == f"Bearer {SECRET}"
    assert SECRET not in "".join(file.name + file.read_text() for file in tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("answers", "asked", "said"),
    [
        ([503, 429, 200], 3, None),
        ([403], 1, r"no OIDC token \(403\)"),
        ([502], 4, r"no OIDC token \(502\)"),
        ([200], 4, r"no OIDC token \(KeyError\)"),
    ],
)
def test_github_s_token_service_is_asked_again_unless_it_refuses(
    monkeypatch: pytest.MonkeyPatch, answers: list[int], asked: int, said: str | None
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with gateway() as github:
        for status in answers:
            github.says(status, {} if said else {"value": "id-token"})
        environ = {"ACTIONS_ID_TOKEN_REQUEST_URL": github.url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": SECRET}
        if said:
            with pytest.raises(AuthenticationError, match=said) as caught:
                github_token(environ, "slurm-gateway")
            assert ("permissions" in caught.value.todo) == (answers == [403])
        else:
            assert github_token(environ, "slurm-gateway") == "id-token"
    assert len(github.asked) == asked


@pytest.mark.parametrize(
    ("environ", "auth", "path"),
    [({"GITLAB_CI": "true"}, "auto", "/token/oidc/gitlab"), ({}, "auto", "/token/oidc/own"),
     ({"GITLAB_CI": "true"}, "oidc", "/token/oidc/own")],
)  # fmt: skip
def test_id_token_of_the_environment_is_sent_to_its_issuer_s_route(
    stand_in: StandIn, tmp_path: Path, environ: dict[str, str], auth: str, path: str
) -> None:
    stand_in.says(200, {"user": "alice", "token": "slurm-token", "expires_in": 900})
    environ |= {"XDG_CACHE_HOME": str(tmp_path)}
    ours = Gateway.from_environ(settings(stand_in, id_token="id-token", auth=auth), environ=environ)
    ours.tokens.current()
    assert stand_in.asked[0].path == path
    assert stand_in.asked[0].headers["Authorization"] == "Bearer id-token"


def test_token_of_one_ci_job_is_not_another_s(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.says(200, {"user": "alice", "token": "slurm-token", "expires_in": 900})
    environ = {"XDG_CACHE_HOME": str(tmp_path), "GITLAB_CI": "true"}
    for id_token in ("one", "one", "other"):
        Gateway.from_environ(settings(stand_in, id_token=id_token), environ=environ).tokens.current()
    assert [asked.headers["Authorization"] for asked in stand_in.asked] == ["Bearer one", "Bearer other"]


def test_aws_keys_sign_the_request_anew_for_each_try(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "eu-west-1",
               "XDG_CACHE_HOME": str(tmp_path)}  # fmt: skip
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    stand_in.says(503).says(200, {"user": "alice", "token": "slurm-token", "expires_in": 900})
    Gateway.from_environ(settings(stand_in), environ=environ).tokens.current()
    assert [asked.path for asked in stand_in.asked] == ["/token", "/token"]
    signature = stand_in.asked[0].headers["Authorization"]
    assert signature.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-west-1/execute-api/aws4_request" in signature


def test_expired_token_is_renewed_when_the_edge_refuses_it(stand_in: StandIn) -> None:
    mint = Mint()
    stand_in.says(403, {"message": "Forbidden"}).says(200, {"id": "1", "state": "PENDING", "state_flags": []})
    with Gateway.from_environ(settings(stand_in), environ={}) as ours:
        ours.tokens = Tokens(mint.fetch, clock=lambda: mint.now)
        assert ours.job("1") == {"id": "1", "state": "PENDING", "state_flags": []}
    assert [asked.headers["X-SLURM-USER-TOKEN"] for asked in stand_in.asked] == ["token-1", "token-2"]


def test_new_token_that_is_refused_too_is_an_error(stand_in: StandIn) -> None:
    mint = Mint()
    stand_in.says(403, {"message": "Forbidden"})
    with Gateway.from_environ(settings(stand_in), environ={}) as ours:
        ours.tokens = Tokens(mint.fetch, clock=lambda: mint.now)
        with pytest.raises(AuthenticationError, match="refuses a new token of alice too"):
            ours.job("1")


def test_nobody_gets_a_token_without_being_told_what_to_do(stand_in: StandIn) -> None:
    stand_in.says(403, {"type": "urn:slurm-gateway:problem:principal-not-mapped", "detail": "add a rule"})
    ours = Gateway.from_environ(settings(stand_in, id_token="id-token"), environ={"XDG_CACHE_HOME": "/dev/null"})
    with pytest.raises(AuthenticationError, match="add a rule") as caught:
        ours.tokens.current()
    assert caught.value.todo == "Send this to whoever runs the cluster."


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "where the gateway is"),
        ({"SLURM_GATEWAY_URL": "http://api.example.org"}, "without TLS"),
        ({"SLURM_GATEWAY_URL": "ftp://x"}, "no address"),
        ({"SLURM_GATEWAY_URL": "https://x", "SLURM_GATEWAY_AUTH": "magic"}, "no way 'magic'"),
        ({"SLURM_GATEWAY_URL": "https://x", "SLURM_GATEWAY_PATIENCE": "long"}, "SLURM_GATEWAY_PATIENCE"),
        ({"SLURM_GATEWAY_URL": "https://x", "SLURM_GATEWAY_LIFESPAN": "0"}, "SLURM_GATEWAY_LIFESPAN"),
    ],
)
def test_wrong_settings_are_named(environ: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        Settings.from_environ(environ)
    assert caught.value.todo


@pytest.mark.parametrize("url", ["http://127.9.8.7:18080", "http://localhost", "http://[::1]:80", "https://x/stage/"])
def test_plain_http_is_for_this_machine_only(url: str) -> None:
    assert Settings.from_environ({"SLURM_GATEWAY_URL": url}).url == url.rstrip("/")
