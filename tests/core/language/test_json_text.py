import pytest

from llmcompiler_graph.core.language.json_text import MAX_DEPTH, is_too_deep, read_json


@pytest.mark.parametrize("levels", [0, 1, MAX_DEPTH])
def test_json_within_the_limit(levels: int) -> None:
    """JSON that is nested up to the limit is read, also if it is much wider than that."""
    text = "[" * levels + "1" + "]" * levels
    assert str(read_json(text)) == text
    assert read_json(f"[{', '.join([text] * 200)}]" if levels < MAX_DEPTH else text) is not None


@pytest.mark.parametrize("text", ["[" * 101 + "]" * 101, '{"a":' * 320 + "1" + "}" * 320, "[" * 200_000])
def test_json_that_is_too_deep(text: str) -> None:
    """What is nested deeper is a `ValueError` that says so, however deep."""
    with pytest.raises(ValueError, match=f"JSON nested more than {MAX_DEPTH} deep"):
        read_json(text)


@pytest.mark.parametrize("text", ["", "{", "not JSON", "[1", "1" * 5000])
def test_what_is_no_json(text: str) -> None:
    """What is no JSON, or holds a number that Python does not read, is a `ValueError`."""
    with pytest.raises(ValueError, match=r"Expect|Exceeds|Illegal"):
        read_json(text)


def test_line_breaks_in_strings() -> None:
    """Control characters in strings may be let pass."""
    assert read_json('{"a": "1\n2"}', strict=False) == {"a": "1\n2"}


def test_how_deep() -> None:
    """Depth is counted in lists and objects alike."""
    value: object = 1
    for n in range(MAX_DEPTH):
        value = [value, 2] if n % 2 else {"a": value, "b": 2}
    assert not is_too_deep(value)  # type: ignore[arg-type]
    assert is_too_deep([value])  # type: ignore[list-item]
