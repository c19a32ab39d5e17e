"""The values of sbatch's options: durations, moments, memory, nodes, signals and the rest."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gateway.sbatch import (
    distribution,
    durations,
    frequencies,
    hosts,
    memory_binding,
    moments,
    numbers,
    signals,
    tres,
)
from slurm_gateway.sbatch.errors import ValueRefusedError

NOW = datetime(2030, 6, 15, 10, 30, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90", 90), ("1:30", 2), ("0:01", 1), ("1:30:00", 90), ("90:00", 90), ("1-12", 2160), ("1-", 1440),
        ("2-0:30", 2910), ("2-0:30:01", 2911), ("UNLIMITED", -1), ("infinite", -1), ("-1", -1), ("0", -1),
    ],
)  # fmt: skip
def test_a_time_limit_is_in_minutes_rounded_up(text: str, minutes: int) -> None:
    assert minutes == durations.minutes(text)


@pytest.mark.parametrize("text", ["", "x", "1:2:3:4", ":30", "1::2", "1-2-3", "1:30h", "-5", "99999999999", "\uff11"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueRefusedError):
        durations.seconds(text)


@given(st.integers(0, 300), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_duration_written_in_full_is_the_sum_of_its_parts(days: int, hours: int, minutes: int, seconds: int) -> None:
    expected = ((days * 24 + hours) * 60 + minutes) * 60 + seconds

    assert expected == durations.seconds(f"{days}-{hours:02}:{minutes:02}:{seconds:02}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2031-01-31T13:00", "2031-01-31T13:00:00"),
        ("2031-01-31", "2031-01-31T00:00:00"),
        ("2031-1-2T3:04:05", "2031-01-02T03:04:05"),
        ("16:00", "2030-06-15T16:00:00"),
        ("10:30", "2030-06-16T10:30:00"),
        ("9:15:30", "2030-06-16T09:15:30"),
        ("1:00pm", "2030-06-15T13:00:00"),
        ("12:00 am", "2030-06-16T00:00:00"),
        ("noon", "2030-06-15T12:00:00"),
        ("midnight", "2030-06-16T00:00:00"),
        ("teatime tomorrow", "2030-06-16T16:00:00"),
        ("today", "2030-06-15T00:00:00"),
        ("now", "2030-06-15T10:30:20"),
        ("now+1hour", "2030-06-15T11:30:20"),
        ("now + 90", "2030-06-15T10:31:50"),
        ("now-2days", "2030-06-13T10:30:20"),
        ("01/31/31", "2031-01-31T00:00:00"),
        ("12/24", "2030-12-24T00:00:00"),
        ("0102", "2031-01-02T00:00:00"),
        ("01.02.35-08:15", "2035-01-02T08:15:00"),
        ("02/31/31", "2031-03-03T00:00:00"),
        ("uts2000000000", "2033-05-18T03:33:20"),
    ],
)
def test_a_moment_is_read_from_now_on(text: str, expected: str) -> None:
    found = moments.timestamp(text, moments.Clock(NOW))

    assert expected == datetime.fromtimestamp(found, UTC).replace(tzinfo=None).isoformat()


def test_local_times_are_of_the_clocks_zone() -> None:
    clock = moments.Clock(NOW, ZoneInfo("America/New_York"))

    assert datetime(2030, 6, 15, 20, tzinfo=UTC).timestamp() == moments.timestamp("16:00", clock)


@pytest.mark.parametrize(
    "text", ["", "whenever", "25:00", "13:00pm", "2031-13-01", "99/99", "now+", "now+1fortnight", "uts1"]
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueRefusedError):
        moments.timestamp(text, moments.Clock(NOW))


@given(st.text(max_size=20))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    try:
        moments.timestamp(text, moments.Clock(NOW))
    except ValueRefusedError:
        return


@pytest.mark.parametrize(
    ("text", "megabytes"),
    [("100", 100), ("1G", 1024), ("1gb", 1024), ("2T", 2097152), ("1024K", 1), ("1025K", 2), ("0", 0), ("5MB", 5)],
)
def test_memory_is_in_mebibytes(text: str, megabytes: int) -> None:
    assert megabytes == numbers.megabytes(text)


@pytest.mark.parametrize("text", ["", "lots", "1X", "-1", "1.5G", "1GiB", "1 G"])
def test_what_is_no_memory_is_refused(text: str) -> None:
    with pytest.raises(ValueRefusedError):
        numbers.megabytes(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4", numbers.Nodes(4, 4)),
        ("2-4", numbers.Nodes(2, 4)),
        ("1k", numbers.Nodes(1024, 1024)),
        ("-3", numbers.Nodes(1, 3)),
        ("1,3,5-9", numbers.Nodes(1, 9, "1,3,5-9")),
        ("1-10:3", numbers.Nodes(1, 10, "1-10:3")),
        ("0", numbers.Nodes(0, 0)),
    ],
)
def test_node_counts_are_a_number_a_range_or_a_list(text: str, expected: numbers.Nodes) -> None:
    assert expected == numbers.nodes(text)


@pytest.mark.parametrize("text", ["", "two", "3-1", "1-x", "1,x", "1,9-5", "1:"])
def test_what_is_no_node_count_is_refused(text: str) -> None:
    with pytest.raises(ValueRefusedError):
        numbers.nodes(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("USR1", signals.WarningSignal("USR1")),
        ("sigterm@120", signals.WarningSignal("TERM", 120)),
        ("B:10@30", signals.WarningSignal("10", 30, to_batch_shell=True)),
        ("RB:INT", signals.WarningSignal("INT", to_batch_shell=True, in_reservation=True)),
        ("USR2@", signals.WarningSignal("USR2", 0)),
    ],
)
def test_a_warning_signal_has_a_name_a_delay_and_receivers(text: str, expected: signals.WarningSignal) -> None:
    assert expected == signals.read(text, None)


@pytest.mark.parametrize("text", ["", "BOGUS", "B:", "USR1@x", "USR1@70000", "0", "10x"])
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(ValueRefusedError):
        signals.read(text, None)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("block", "block"), ("CYCLIC:Block", "cyclic:block"), ("*:*:*", "block:cyclic:cyclic"),
        ("block:*:fcyclic,pack", "block:cyclic:fcyclic,pack"), ("nopack", "nopack"), ("hostfile", "arbitrary"),
        ("plane=4", "plane"), ("cyclic:fcyclic:*", "cyclic:fcyclic:fcyclic"),
    ],
)  # fmt: skip
def test_a_distribution_has_one_name_for_srun(text: str, name: str) -> None:
    assert name == distribution.read(text).name


@pytest.mark.parametrize(
    "text", ["", "sideways", "plane", "plane=0", "block:", "fcyclic", "block,unpack", "a:b:c:d", ","]
)
def test_what_is_no_distribution_is_refused(text: str) -> None:
    with pytest.raises(ValueRefusedError):
        distribution.read(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n1,n2", ["n1", "n2"]),
        ("n[1-3,7]", ["n1", "n2", "n3", "n7"]),
        ("n[08-10]x", ["n08x", "n09x", "n10x"]),
        ("a[1-2]b[3-4]", ["a1b3", "a1b4", "a2b3", "a2b4"]),
        ("n2,n1,n2", ["n2", "n1", "n2"]),
    ],
)
def test_a_node_list_names_each_node(text: str, expected: list[str]) -> None:
    assert expected == hosts.names(text)


@pytest.mark.parametrize("text", ["n[1", "n]1", "n[x]", "n[3-1]", "n[]", "n[1-9999999]", "n[[1]]"])
def test_what_is_no_node_list_is_refused(text: str) -> None:
    with pytest.raises(ValueRefusedError):
        hosts.names(text)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 100_000 + "[1-65536]",
        "a[1-65536]" + "b[1]" * 1000,
        ",".join(["a" * 10_000 + "[1-300]"] * 200),
        "[" + "0" * 900 + "1,1-60000]" + "a" * 100,
    ],
    ids=["long name", "many parts", "many items", "long number"],
)
def test_a_short_list_of_nodes_cannot_become_a_large_one(text: str) -> None:
    with pytest.raises(ValueRefusedError, match="too long"):
        hosts.names(text)


@pytest.mark.parametrize(
    ("text", "words", "items"),
    [
        ("local", ["local"], None),
        ("verbose,map_mem:0,1", ["verbose", "map_mem"], "0,1"),
        ("mask_mem:0x1*2,f", ["mask_mem"], "1,1,f"),
        ("rank,prefer", ["prefer", "rank"], None),
        ("quiet", [], None),
        ("rank,local", ["local"], None),
        ("sort,none", ["sort", "none"], None),
    ],
)
def test_a_memory_binding_has_one_kind_and_flags(text: str, words: list[str], items: str | None) -> None:
    binding = memory_binding.read(text, memory_binding.MemoryBinding(), sorting=True)

    assert (words, items) == (binding.words, binding.items)


@pytest.mark.parametrize("text", ["", "sideways", "map_mem", "map_mem:", "map_mem:x", "mask_mem:1*0", "help", "sort"])
def test_what_is_no_memory_binding_is_refused(text: str) -> None:
    with pytest.raises(ValueRefusedError):
        memory_binding.read(text, memory_binding.MemoryBinding(), sorting=False)


@pytest.mark.parametrize("text", ["high", "2000000", "low-high:OnDemand", "performance", "1000:UserSpace", "low-high"])
def test_cpu_frequencies_are_checked_before_slurm_sees_them(text: str) -> None:
    frequencies.check(text)


@pytest.mark.parametrize(
    "text", ["", "fastest", "low-", "low:nobody", "performance:ondemand", "low:ondemand", "1-2:userspace"]
)
def test_what_is_no_cpu_frequency_is_refused(text: str) -> None:
    with pytest.raises(ValueRefusedError):
        frequencies.check(text)


@pytest.mark.parametrize(
    "text", ["closest", "single:2", "verbose,per_task:1", "map:0,1*3", "mask:0x3,f", "none", "map_gpu:1"]
)
def test_gpus_are_bound_as_tres(text: str) -> None:
    assert f"gres/gpu:{text}" == tres.gpu_binding(text)


@pytest.mark.parametrize("text", ["", "sideways", "map:x", "single:-1", "mask:0xg"])
def test_what_is_no_gpu_binding_is_refused(text: str) -> None:
    with pytest.raises(ValueRefusedError):
        tres.gpu_binding(text)


def test_what_a_task_has_of_a_resource_is_bound_to_it() -> None:
    assert (
        tres.implied_binding("cpu=2,gres/gpu:a100=1,gres/nic=1,gres/gpu:h100=2", None)
        == "gres/nic:per_task:1+gres/gpu:per_task:3"
    )
    assert tres.implied_binding("gres/gpu=1", "gres/gpu:closest") == "gres/gpu:closest"
