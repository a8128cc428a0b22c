import pytest

from llmcompiler_graph.core.checking.expressions import grouped
from llmcompiler_graph.core.language.references import Value, parse_template


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$1 ** 2", "($1) ** 2"),
        ("-$1^2 + 2 ** $1", "-($1)^2 + 2 ** $1"),
        ("2 * ${1.a}**$2 ** 2", "2 * (${1.a})**($2) ** 2"),
        ("($1) ** 2 - $2 * 2", "($1) ** 2 - $2 * 2"),
    ],
)
def test_powers_of_references(text: str, expected: str) -> None:
    """In arithmetic, a reference that is raised to a power stands in parentheses; text of other kinds stays."""

    def template(written: str) -> Value:
        return parse_template(written, lambda index: True).value

    assert grouped(template(text), {"type": "string", "format": "arithmetic"}, {}) == template(expected)
    assert grouped(template(text), {"type": "string"}, {}) == template(text)
