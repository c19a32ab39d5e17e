"""Request lines by which a path might reach slurmrestd that should not, or one be taken for another."""

from __future__ import annotations

from collections.abc import Iterator

from tests.real.header_variants import SLURM, SLURMDB, Known, Variant
from tests.real.raw_http import request

UPWARDS = (
    "/../", "/..%2f", "/..%2F", "/%2e%2e/", "/%2E%2E/", "/%2e%2e%2f", "/.%2e/", "/%2e./", "/..;/", "/..;x=y/",
    "/..%3b/",
    "/..%5c", "/..\\", "/..%00/", "/..%0d/", "/..%0a/", "/..%20/", "/..%09/", "/.../", "/....//", "//../", "/..//",
    "/./../",
    "/%252e%252e/", "/..%252f", "/..%c0%af", "/%c0%ae%c0%ae/", "/%e0%80%ae%e0%80%ae/", "/..%ef%bc%8f", "/%uff0e%uff0e/",
    "/%u002e%u002e/", "/..?/", "/..#/", "/..%23/", "/..%3f/", "/%2e%2e;/%2e%2e/", "/x/../../", "/x%2f..%2f..%2f",
)  # fmt: skip
BEGINNINGS = (SLURM, SLURMDB, "/openapi", "/jobs", "/scripts", "/token", "/.well-known", "")
TAILS = ("metrics/jobs", "is-alive/x")

METHODS = (
    "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "DEBUG", "TRACK", "PROPFIND",
    "PRI", "LINK",
    "SEARCH", "PURGE", "get", "Get", "gET", "GETS", "G\u0415T", "GET\0", "GET,DELETE", "GET/1.1", "*", "-",
    "G" * 5000, "'", "%47ET",
)  # fmt: skip
VERSIONS = (
    "HTTP/0.9", "HTTP/1.0", "HTTP/1.2", "HTTP/2", "HTTP/2.0", "HTTP/3", "http/1.1", "HTTP/1.1x", "HTTP/1.10",
    "HTTP/01.1",
    "HTTP/1.1 ", " HTTP/1.1", "HTTP/1,1", "HTTPS/1.1", "HTCPCP/1.0", "", "HTTP/1.1 HTTP/1.1", "HTTP/\u0661.1",
)  # fmt: skip


def upwards(k: Known) -> Iterator[Variant]:
    """Steps upwards in every spelling, from every route."""
    for beginning in BEGINNINGS:
        for step in UPWARDS:
            for tail in TAILS:
                path = f"{beginning}{step}{step.lstrip('/')}{tail}"
                yield Variant(f"{beginning} {step} {tail}", request("GET", path, k.pair), refused=True)


def spellings(k: Known) -> Iterator[Variant]:
    """Routes spelled otherwise, with escapes, slashes, parameters and case; and what is on no route at all."""
    for path in (
        "", "/", "//", "///", "/.", "/%2f", "/%2f%2f", "/slurm", "/slurm/", "/slurmdb", "/slurmdb/",
        "/openapi/../metrics",
        "/metrics", "/metrics/jobs", "/metrics/nodes", "/is-alive", "/smuggled", "/util", "/conf", "/admin",
        "/index.html",
        "/favicon.ico", "/.git/config", "/.env", "/proc/self/environ", "/SLURM/v0.0.42/ping", "/Slurm/v0.0.42/ping",
        "/slurm%2fv0.0.42%2fping", "/%2fslurm/v0.0.42/ping", "//slurm/v0.0.42/smuggled", "/slurmrestd/v0.0.42/ping",
        "/slurm.json/v0.0.42/ping", "/slurm;/v0.0.42/smuggled", "/slurmx/v0.0.42/ping", "/xslurm/v0.0.42/ping",
        "/slurm\\v0.0.42\\ping", "/slurm\u2215v0.0.42\u2215ping", "/s%256curm/v0.0.42/ping", "/slurm/..",
        "/slurm/%2e%2e",
        "/openapi.json/x", "/openapix", "/.well-known", "/.well-known/", "/.well-known/openid-configuration",
        "/token/alice",
        "/tokens", "/jobs/", "/jobs/1/2", "/jobs/../metrics", "/scripts/", "/scripts/a/b", "/health/x", "/events",
        "/clusters",
        "/commands", "/*", "/{proxy+}", "/$default", "/prod/slurm/v0.0.42/ping", "/default/slurm/v0.0.42/ping",
        "/?/slurm",
        "/#/slurm", "/%00", "/\0", "/%", "/%zz", "/%2", "/\x7f", "/ slurm", "/slurm /v0.0.42/ping",
        "/\u0441lurm/v0.0.42/ping",
    ):  # fmt: skip
        yield Variant(f"path {path!r}", request("GET", path, k.pair), refused=True)
    job = f"{SLURM}/job/{k.bobs_job}"
    digits = "".join(f"%{ord(digit):02x}" for digit in str(k.bobs_job))
    for path in (
        f"{SLURM}/job/{digits}", f"{SLURM}/%6aob/{k.bobs_job}", f"{SLURM}/job/0{k.bobs_job}",
        f"{SLURM}/job/+{k.bobs_job}",
        f"{job}/", f"{job}//", f"{job}%00", f"{job}%20", f"{job};", f"{job}?", f"{job}?user_name=bob", f"{job}?{job}",
        f"{job}.0", f"{job},{k.alices_job}", f"{job}_0", f"{job}+0", f"{job}%2b0",
        f"{SLURM}/job/{k.bobs_job}.0x0",
        f"{SLURM}/job/-{k.bobs_job}", f"{SLURM}/job/0x{k.bobs_job:x}", f"{SLURM}/job/{k.bobs_job + 2**32}",
        f"{job}?X-SLURM-USER-NAME=bob",
        f"{job}?sun=bob&token={k.bob}", f"{SLURM}/job/{k.alices_job}/../{k.bobs_job}",
        f"{SLURM}/job/{k.alices_job}?job_id={k.bobs_job}",
        f"{SLURM}/jobs/?job_id={k.bobs_job}", f"{SLURMDB}/job/{k.bobs_job}", f"{SLURMDB}/job/{digits}",
        f"/jobs/{digits}", f"/jobs/0{k.bobs_job}", f"/jobs/{k.bobs_job}%00", f"/jobs/{k.bobs_job}%2f",
        f"/jobs/{k.bobs_job}?user=bob",
        f"/jobs/{k.alices_job}%2f..%2f{k.bobs_job}", f"/jobs/{k.alices_job}%3f/{k.bobs_job}", "/jobs?user=bob",
        "/jobs?user=alice&user=bob",
    ):  # fmt: skip
        yield Variant(f"job {path}", request("GET", path, k.pair))


def absolute(k: Known) -> Iterator[Variant]:
    """Targets that name a host, and other forms than an absolute path."""
    for target in (
        "http://127.0.0.1:6830{path}", "http://head-node:6830{path}", "http://api{path}", "https://api{path}",
        "HTTP://API{path}",
        "http://user:password@api{path}", "http:{path}", "http:/{path}", "http:///{path}", "//api{path}",
        "ftp://api{path}",
        "file://{path}", "http://169.254.169.254/latest/meta-data/iam", "http://[::1]:6830{path}",
        "http://api:99999{path}",
        "unix:/run/munge/munge.socket", "jar:http://api{path}", "api{path}", "api:80", "*", "?", "?{path}", "#{path}",
        ";{path}",
        "http://api{path}#x", "{path}#x", "http%3a//api{path}", ":{path}", "@api{path}", "javascript:1",
    ):  # fmt: skip
        for path in (f"{SLURM}/smuggled", "/metrics/smuggled", f"{SLURM}/job/{k.bobs_job}"):
            yield Variant(f"target {target}, {path}", request("GET", target.format(path=path), k.pair), refused=True)


def methods(k: Known) -> Iterator[Variant]:
    """Methods, known and not, on every kind of route; and versions of HTTP."""
    for method in METHODS:
        for path in (
            f"{SLURM}/job/{k.bobs_job}",
            f"/jobs/{k.bobs_job}",
            f"{SLURMDB}/job/{k.bobs_job}",
            "/openapi",
            "/token",
            "/smuggled",
        ):
            yield Variant(f"method {method[:20]!r} {path}", request(method, path, k.pair))
    for version in VERSIONS:
        for path in (f"{SLURM}/job/{k.bobs_job}", "/metrics/smuggled"):
            data = request("GET", path, k.pair).replace(b"HTTP/1.1", version.encode(), 1)
            yield Variant(f"version {version!r} {path}", data, refused=True)
    for line in (
        f"GET\t{SLURM}/smuggled\tHTTP/1.1", f"GET  {SLURM}/smuggled HTTP/1.1", f"GET {SLURM}/smuggled  HTTP/1.1",
        f" GET {SLURM}/smuggled HTTP/1.1",
        f"GET {SLURM}/smug gled HTTP/1.1", f"GET\x0b{SLURM}/smuggled HTTP/1.1", f"GET {SLURM}/smuggled\x0cHTTP/1.1",
        f"GET {SLURM}/smuggled",
        "GET", "GET ", " ", "\0", f"{SLURM}/smuggled HTTP/1.1", f"GET {SLURM}/smuggled HTTP/1.1\r",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HTTP/1.1 200 OK", "\x16\x03\x01\x02\x00\x01\x00", "\x80.\x01\x00\x02", "PROXY TCP4 10.0.0.1 10.0.0.2 1 2",
        "QUIT", "<xml/>", "{}",
    ):  # fmt: skip
        data = line.encode("latin-1") + request("GET", "/", k.pair).partition(b" HTTP/1.1")[2]
        yield Variant(f"line {line[:40]!r}", data, refused=True)
