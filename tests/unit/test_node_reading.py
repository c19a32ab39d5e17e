"""Reading a job's files: a real child, with this test's own user in place of a job's."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slurm_gateway_node import child_limits, frames
from slurm_gateway_node.job_user import JobUser
from slurm_gateway_node.reading import (
    FileRead,
    FileReading,
    Item,
    NoChildError,
    ReadFile,
    ReadingError,
    ReadProblem,
    SilentChildError,
)

PROGRAMS = Path(frames.__file__).parent
USER = JobUser("somebody", 1001, 1001, (1001,))
MOST = 1 << 30

Read = Callable[..., tuple[dict[str, bytes], dict[str, str]]]


def as_ourselves(user: JobUser, program: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", "-B", PROGRAMS / f"{program}.py"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)


def saying(*sent: dict[str, Any] | bytes) -> Callable[[JobUser, str], subprocess.Popen[bytes]]:
    """Start a child that says this, whatever it is asked, as one that its user has under control may."""
    script = "import sys; sys.stdin.read(); " + "; ".join(f"frames.send(1, {each!r})" for each in sent)
    script = (
        f"import sys; sys.path.insert(0, {str(PROGRAMS.parent)!r}); from slurm_gateway_node import frames; {script}"
    )

    def start(user: JobUser, program: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", script]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    return start


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def collect(*items: Item, most: int = MOST, files: int = 100) -> tuple[dict[str, bytes], dict[str, str]]:
        reading = FileReading([str(tmp_path)], files=files, start=as_ourselves, patience=20)
        found: dict[str, bytes] = {}
        problems: dict[str, str] = {}
        name = ""
        for event in reading.read(USER, items, most):
            if isinstance(event, ReadFile):
                name = event.name or event.path.removeprefix(f"{tmp_path}/")
                found[name] = b""
            elif isinstance(event, bytes):
                found[name] += event
            elif isinstance(event, ReadProblem):
                problems[event.path.removeprefix(f"{tmp_path}/")] = event.problem
            else:
                assert event == FileRead(len(found[name]))
        return found, problems

    return collect


def everything(tmp_path: Path, pattern: str = "*", **more: Any) -> Item:
    return Item(pattern=f"{tmp_path}/{pattern}", base=str(tmp_path), limit=MOST, **more)


def test_a_file_is_read_whole_or_from_an_offset(read: Read, tmp_path: Path) -> None:
    content = os.urandom(frames.CHUNK * 2 + 5)
    (tmp_path / "a").write_bytes(content)
    path = str(tmp_path / "a")

    assert read(Item(path=path, limit=MOST))[0] == {"a": content}
    assert read(Item(path=path, offset=frames.CHUNK * 2, limit=3))[0] == {"a": content[-5:-2]}
    assert read(Item(path=path, offset=MOST, limit=3))[0] == {"a": b""}


# Seconds; the last one's nanoseconds need more than 64 bits.
@pytest.mark.parametrize("mtime", [-1, -(2**31), 0, 2**35])
def test_a_file_is_read_whatever_its_date(read: Read, tmp_path: Path, mtime: int) -> None:
    (tmp_path / "old").write_bytes(b"x")
    os.utime(tmp_path / "old", (0, mtime))

    assert read(everything(tmp_path)) == ({"old": b"x"}, {})


def test_the_date_that_a_child_tells_is_taken_as_it_is() -> None:
    for mtime in (-(2**63) * 10**9, -1, 2**63 * 10**9 - 1):
        start = saying({**FILE, "mtime": mtime}, b"x", {"end": 1}, {"done": True})

        [file, *_] = FileReading(["/"], files=1, start=start, patience=20).read(USER, [Item(path="/a", limit=1)], 1)

        assert file == ReadFile(0, "/a", "a", 1, mtime, 1)


def test_what_is_no_regular_file_is_neither_read_nor_waited_for(read: Read, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "directory").mkdir()
    (tmp_path / "good").write_bytes(b"x")

    found, problems = read(everything(tmp_path), Item(path=str(tmp_path / "directory"), limit=1))

    assert found == {"good": b"x"}
    assert problems == {
        "fifo": "not-a-regular-file",
        "link": "symbolic-link",
        "loop": "symbolic-link",
        "directory": "not-a-regular-file",
    }


def test_what_is_not_there_or_leads_out_of_the_shared_directories_is_told(read: Read, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/etc")
    (tmp_path / "in").mkdir()
    (tmp_path / "also-in").symlink_to("in")
    (tmp_path / "in" / "a").write_bytes(b"x")
    paths = ("missing", "out/passwd", "also-in/a")

    found, problems = read(*(Item(path=f"{tmp_path}/{path}", limit=9) for path in paths), everything(tmp_path, "no/*"))

    assert found == {"also-in/a": b"x"}
    assert problems == {"missing": "missing", "out/passwd": "not-shared", "no/*": "no-match"}


def test_names_that_no_object_can_have_are_told_and_left(read: Read, tmp_path: Path) -> None:
    for name in (b"new\nline", b"not-utf-8-\xff", b"fine-\xc3\xbc"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"x")

    found, problems = read(everything(tmp_path))

    assert found == {"fine-ü": b"x"}
    assert problems == {"new\nline": "name", "not-utf-8-�": "name"}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.csv", {"1.csv"}),
        ("*", {"1.csv", "2.txt"}),
        (".*", {".hidden"}),
        ("[12].*", {"1.csv", "2.txt"}),
        ("d/*.csv", {"d/3.csv"}),
        ("*/*.csv", {"d/3.csv"}),
        ("**/*.csv", {"1.csv", "d/3.csv", "d/e/4.csv"}),
        ("d/**", {"d/3.csv", "d/e/4.csv"}),
        ("d/e/4.csv", {"d/e/4.csv"}),
    ],
)
def test_a_pattern_names_what_it_names_to_a_shell(read: Read, tmp_path: Path, pattern: str, expected: set[str]) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    # ** goes round in no circle.
    (tmp_path / "d" / "up").symlink_to("..")
    for name in ("1.csv", "2.txt", ".hidden", "d/3.csv", "d/e/4.csv"):
        (tmp_path / name).write_bytes(b"x")

    assert set(read(everything(tmp_path, pattern))[0]) == expected


def test_no_more_bytes_are_read_than_a_job_may_leave(read: Read, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"12345")
    (tmp_path / "stream").write_bytes(b"1234567")

    found, problems = read(Item(path=f"{tmp_path}/stream", limit=MOST), everything(tmp_path, "[abc]"), most=13)

    # A stream is cut off, a file is read whole or not at all.
    assert found == {"stream": b"1234567", "a": b"12345"}
    assert problems == {"b": "over-limit", "c": "over-limit"}
    assert read(Item(path=f"{tmp_path}/stream", limit=MOST), most=3)[0] == {"stream": b"123"}


def test_no_more_files_are_read_than_a_job_may_leave_and_none_twice(read: Read, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.txt").write_bytes(b"x")

    found, problems = read(everything(tmp_path, "[01].txt"), everything(tmp_path), files=3)

    assert set(found) == {"0.txt", "1.txt", "2.txt"}
    assert problems == {"*": "too-many-files"}
    assert len(read(everything(tmp_path), everything(tmp_path, group=1), files=5)[0]) == 5


FILE = {"item": 0, "path": "/a", "name": "a", "size": 1, "mtime": 1, "inode": 1}


@pytest.mark.parametrize(
    "sent",
    [
        [],
        [b"data of no file"],
        [FILE],
        [FILE, {"done": True}],
        [FILE, FILE],
        [{"item": 7, "path": "/a", "problem": "x"}],
        [{"item": -1, "path": "/a", "problem": "x"}],
        [{**FILE, "name": "../../scripts/bob/x"}],
        [{**FILE, "name": "/x"}],
        [{**FILE, "name": 5}],
        [{**FILE, "size": "1"}],
        [{**FILE, "size": True}],
        [{**FILE, "size": 2**64}],
        [{**FILE, "size": -1}],
        [{**FILE, "inode": -1}],
        [{**FILE, "mtime": 2**63 * 10**9}],
        [{**FILE, "mtime": 1.5}],
        [{**FILE, "mtime": False}],
        [{**FILE, "name": "x" * (frames.LONGEST_NAME + 1)}],
        [{"unknown": 1}],
    ],
)
def test_a_child_that_says_what_none_says_is_given_up(sent: list[Any]) -> None:
    reading = FileReading(["/"], files=1, start=saying(*sent), patience=20)

    with pytest.raises(ReadingError):
        list(reading.read(USER, [Item(path="/a", limit=1)], 1))


@pytest.mark.parametrize(
    "sent",
    [
        # A stream's limit is 3 bytes, and all may have 5.
        [FILE, b"1234"],
        [FILE, b"123", {"end": 3}, {**FILE, "item": 1}, b"123"],
        [{"item": 0, "path": "/a", "problem": "missing"}] * 40,
        [FILE, *[b""] * 40],
        [{**FILE, "path": "/" + "x" * 4000}, {"end": 0}] * 4,
    ],
    ids=["a file's bytes", "bytes", "problems", "empty data", "paths"],
)
def test_a_child_that_sends_more_than_was_asked_for_is_given_up(sent: list[Any]) -> None:
    items = [Item(path="/a", limit=3), Item(path="/b", limit=3)]

    with pytest.raises(ReadingError, match="more than was asked"):
        list(FileReading(["/"], files=1, start=saying(*sent, {"done": True})).read(USER, items, 5))


def test_a_child_is_not_waited_for_without_end_although_it_sends() -> None:
    start = saying(FILE, b"x", {"end": 1}, {"done": True})

    with pytest.raises(SilentChildError, match="in all"):
        list(FileReading(["/"], files=1, start=start, longest=0).read(USER, [Item(path="/a", limit=1)], 1))


def limits(child: subprocess.Popen[bytes]) -> set[tuple[str, ...]]:
    lines = Path(f"/proc/{child.pid}/limits").read_text().splitlines()
    wanted = ("Max processes", "Max address space", "Max core file size")
    return {(name, *line.removeprefix(name).split()[:2]) for line in lines for name in wanted if line.startswith(name)}


LIMITS = {
    ("Max processes", "0", "0"),
    ("Max core file size", "0", "0"),
    ("Max address space", str(child_limits.MEMORY), str(child_limits.MEMORY)),
}


def test_a_child_that_reads_starts_no_other_and_takes_little_memory(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 4_000_000)

    def start(user: JobUser, program: str) -> subprocess.Popen[bytes]:
        children.append(as_ourselves(user, program))
        return children[0]

    children: list[subprocess.Popen[bytes]] = []
    events = FileReading([str(tmp_path)], files=1, start=start).read(
        USER, [Item(path=f"{tmp_path}/a", limit=MOST)], MOST
    )

    # It cannot end before all of the file is taken.
    assert isinstance(next(iter(events)), ReadFile)
    assert limits(children[0]) == LIMITS


def test_a_child_that_writes_starts_no_other_and_takes_little_memory(tmp_path: Path) -> None:
    child = as_ourselves(USER, "write_child")
    assert child.stdin is not None
    frames.send(child.stdin.fileno(), {"path": str(tmp_path / "x")})
    deadline = time.monotonic() + 20
    while not (tmp_path / ".x.partial").exists():
        assert time.monotonic() < deadline

    found = limits(child)

    child.stdin.close()
    child.wait(20)
    assert found == LIMITS


def test_a_machine_that_has_no_room_for_a_child_is_told_from_a_child_that_fails() -> None:
    def start(user: JobUser, program: str) -> subprocess.Popen[bytes]:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with pytest.raises(NoChildError, match="Resource temporarily unavailable"):
        list(FileReading(["/"], files=1, start=start).read(USER, [Item(path="/a", limit=1)], 1))


def test_a_child_that_says_nothing_is_given_up_in_time() -> None:
    def start(user: JobUser, program: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    with pytest.raises(SilentChildError, match="sent nothing"):
        list(FileReading(["/"], files=1, start=start, patience=0.2).read(USER, [Item(path="/a", limit=1)], 1))


def test_a_child_that_takes_nothing_is_given_up_in_time() -> None:
    def start(user: JobUser, program: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    many = [Item(path="/" + "a" * 200, limit=1)] * 1000

    with pytest.raises(SilentChildError, match="before it was told"):
        list(FileReading(["/"], files=1, start=start, patience=0.2).read(USER, many, 1))


# ---- writing -----------------------------------------------------------------------------------------------------


def write(path: Path, *sent: dict[str, Any] | bytes) -> tuple[int, Any]:
    child = as_ourselves(USER, "write_child")
    assert child.stdin is not None
    assert child.stdout is not None
    for each in ({"path": str(path)}, *sent):
        frames.send(child.stdin.fileno(), each)
    child.stdin.close()
    said = frames.FrameReader(child.stdout.fileno(), 20).read()
    return child.wait(), said


def test_a_file_is_written_whole_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file name"

    assert write(path, b"one ", b"two", {"end": 7}) == (0, {"done": True})
    assert (path.read_bytes(), [each.name for each in path.parent.iterdir()]) == (b"one two", ["file name"])
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize("sent", [[b"one"], [b"one", {"end": 4}], [b"one", {"other": 1}]])
def test_a_file_that_does_not_come_whole_leaves_nothing(tmp_path: Path, sent: list[Any]) -> None:
    assert write(tmp_path / "x", *sent) == (1, None)
    assert list(tmp_path.iterdir()) == []


def test_what_an_earlier_try_left_is_written_over_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"keep")
    (tmp_path / ".x.partial").symlink_to("other")
    (tmp_path / "x").symlink_to("other")

    assert write(tmp_path / "x", b"new", {"end": 3}) == (0, {"done": True})
    assert ((tmp_path / "x").read_bytes(), (tmp_path / "x").is_symlink()) == (b"new", False)
    assert (tmp_path / "other").read_bytes() == b"keep"


def test_what_hinders_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    assert write(tmp_path / "file" / "x", {"end": 0}) == (0, {"problem": "File exists"})


@pytest.mark.parametrize(
    ("sent", "what"),
    [
        (b"X\0\0\0\0", "no frame"),
        (b"M\0\0\0\1[", "no JSON"),
        (b"M\0\0\xea\x60" + b"[" * 60_000, "no JSON"),
        (b"M\0\0\0\2[]", "no message"),
    ],
    ids=["kind", "not JSON", "deep", "list"],
)
def test_a_frame_that_is_none_is_no_frame(sent: bytes, what: str) -> None:
    reader_end, writer_end = os.pipe()
    os.write(writer_end, sent)
    with pytest.raises(frames.FrameError, match=what):
        frames.FrameReader(reader_end, 1).read()
    os.close(reader_end)
    os.close(writer_end)
