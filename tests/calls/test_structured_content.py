from typing import Any

import pytest

from llmcompiler_graph.calls.structured_content import structured_value

WRAPPED = {"properties": {"result": {}}, "required": ["result"], "x-fastmcp-wrap-result": True}
OBJECT = {"properties": {"result": {}}, "required": ["result"], "title": "Sum"}


def texts(*given: str) -> list[dict[str, str]]:
    """Text blocks."""
    return [{"type": "text", "text": text} for text in given]


@pytest.mark.parametrize(
    ("structured", "content", "schema", "value"),
    [
        ({"result": 4.5}, texts("4.5"), WRAPPED, 4.5),
        ({"result": 4.5}, texts("Four and a half."), WRAPPED, 4.5),
        ({"result": 4.5}, texts("4.5"), OBJECT, {"result": 4.5}),
        ({"result": 4.5}, texts("4.5"), None, 4.5),
        ({"result": 4.5}, "4.5", None, 4.5),
        ({"result": "4.5"}, texts("4.5"), None, "4.5"),
        ({"result": True}, texts("true"), None, True),
        ({"result": None}, [], None, None),
        ({"result": []}, [], None, []),
        ({"result": ["a", "b"]}, texts("a", "b"), None, ["a", "b"]),
        ({"result": ["a", "b"]}, texts('["a", "b"]'), None, ["a", "b"]),
        ({"result": [{"x": 1}]}, texts('{"x": 1}'), None, [{"x": 1}]),
        ({"result": 4.5}, texts('{\n  "result": 4.5\n}'), None, {"result": 4.5}),
        ({"result": 4.5}, texts("The result is 4.5."), None, {"result": 4.5}),
        ({"result": 4.5}, [{"type": "image", "url": "x"}], None, {"result": 4.5}),
        ({"result": "[" * 1000}, texts("[" * 1000), None, "[" * 1000),
        ({"result": 4.5, "unit": "m"}, texts("4.5"), WRAPPED, {"result": 4.5, "unit": "m"}),
        ({"total": 4.5}, texts("4.5"), None, {"total": 4.5}),
        ([1, 2], texts("[1, 2]"), None, [1, 2]),
        (None, [], None, None),
    ],
)
def test_structured_values(structured: Any, content: Any, schema: Any, value: Any) -> None:
    """What FastMCP wrapped is unwrapped: by the schema's mark, else where the content is the value alone."""
    assert structured_value({"structured_content": structured}, content, schema) == value


@pytest.mark.parametrize("key", ["meta", "_meta"])
def test_the_mark_of_a_result(key: str) -> None:
    """An adapter may keep the result's own mark."""
    artifact = {"structured_content": {"result": 1}, key: {"fastmcp": {"wrap_result": True}}}
    assert structured_value(artifact, texts("One."), None) == 1
