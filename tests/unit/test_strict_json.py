import pytest

from slurm_gateway import strict_json


def test_json_is_what_it_says() -> None:
    assert strict_json.loads('{"a": [1, 2.5, null, true, "ä"]}'.encode()) == {"a": [1, 2.5, None, True, "ä"]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1, "a": 2}', "the key 'a' stands twice"),
        (b'{"b": {"a": 1, "\\u0061": 2}}', "the key 'a' stands twice"),
        (b"[NaN]", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"{", "line 1 column 2"),
        (b"", "line 1 column 1"),
        (b"\xff", "invalid start byte"),
        ("{}".encode("utf-16"), "invalid start byte"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"1" * 5000, "limit"),
        (b"[" * 200_000 + b"]" * 200_000, "nested too deep"),
    ],
)
def test_what_can_be_read_in_two_ways_or_none_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        strict_json.loads(data)
