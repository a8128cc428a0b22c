import asyncio
from typing import Any, Literal

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import ToolException, tool

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.calls.specs import tool_spec
from llmcompiler_graph.testing import ScriptedModel
from llmcompiler_graph.tools import calculate, extract_with

TEXT = (
    "Mount Everest rises to 8,848.86 m above the sea, K2 (in the Karakoram) to 8 611 m. About 1.5 million people, "
    "of them seven guides, came by 1999 200 times; it fell to \N{MINUS SIGN}36 °C. In 2020-12-08 it was measured anew."
)


def extracted(reply: str, returns: Any = float | str, text: str = TEXT) -> Any:
    """What the tool gives when the model replies so."""
    return extract_with(ScriptedModel([reply]), returns=returns).invoke({"text": text, "question": "height"})


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("8,848.86 m", 8848.86),
        ("8848.86", 8848.86),
        ("8 611 metres.", 8611.0),
        ("8'611", 8611.0),
        ("about 1.5 million people", 1_500_000.0),
        ("1,500,000", 1_500_000.0),
        ("seven", 7.0),
        ("7", 7.0),
        ("200", 200.0),
        ("-36 °C", -36.0),
        ("`8,848.86`", 8848.86),
        ("K2 is 8,611 m high", 8611.0),
    ],
)
def test_numbers(reply: str, value: float) -> None:
    """Units, separators, scales and words are understood."""
    result = extracted(reply, returns=float)
    assert (result, type(result)) == (value, float)


@pytest.mark.parametrize("reply", ["8,849", "1.5", "13", "8.84886 km", "86", "36"])
def test_a_number_that_is_not_in_the_text(reply: str) -> None:
    """A number the model made up, rounded or converted is an error."""
    with pytest.raises(ToolException, match=r"'height' is not in the text: the model said .*, which is not there"):
        extracted(reply, returns=float)


@pytest.mark.parametrize(
    "reply",
    [
        "not in the text",
        "Not in the text.",
        "It is not mentioned.",
        "The text does not say.",
        "unknown",
        "N/A",
        "",
        "None",
    ],
)
@pytest.mark.parametrize("returns", [float, str, float | str, bool])
def test_not_in_the_text(reply: str, returns: Any) -> None:
    """What the model does not find is an error that says so."""
    with pytest.raises(ToolException, match=r"'height' is not in the text$"):
        extracted(reply, returns)


@pytest.mark.parametrize(
    ("reply", "returns", "value"),
    [
        ("the Karakoram", str, "the Karakoram"),
        ('"8,848.86 m"', str, "8,848.86 m"),
        ("Unknown Pleasures", str, "Unknown Pleasures"),
        ("None of them", str, "None of them"),
        ("8,848.86 m", float | str, 8848.86),
        ("2020-12-08", float | str, "2020-12-08"),
        ("200 times by seven guides", float | str, "200 times by seven guides"),
        ("K2", float | str, "K2"),
        ("7", int, 7),
        ("Yes.", bool, True),
        ("no, it was not", bool, False),
        ("M", Literal["m", "ft"], "m"),
        ("7", int | float, 7),
    ],
)
def test_types(reply: str, returns: Any, value: Any) -> None:
    """A reply becomes the first type it fits: a number that stands alone before text."""
    result = extracted(reply, returns)
    assert (result, type(result)) == (value, type(value))


@pytest.mark.parametrize(
    ("reply", "returns"),
    [("tall", float), ("8,848.86", int), ("between 7 and 8,611", float), ("perhaps", bool), ("cm", Literal["m", "ft"])],
)
def test_what_is_none_of_the_types(reply: str, returns: Any) -> None:
    """If the reply is of none of the types, the error quotes the model."""
    with pytest.raises(ToolException, match=f"was not found as .*: the model said '{reply}'"):
        extracted(reply, returns)


def test_what_plans_are_checked_by() -> None:
    """The tool says what it returns, and that it may be called early, in parallel and again."""
    spec = tool_spec(extract_with(ScriptedModel(), returns=float, name="number_in"))
    assert (spec.name, spec.returns, spec.read_only, spec.idempotent) == ("number_in", {"type": "number"}, True, True)
    assert [*spec.parameters] == ["text", "question"]
    assert "number_in(" in spec.description


@pytest.mark.parametrize("returns", [list[str], dict, Literal[1], float | None])
def test_types_it_cannot_return(returns: Any) -> None:
    """Types that cannot be extracted are refused when the tool is made."""
    with pytest.raises(TypeError, match="returns must be"):
        extract_with(ScriptedModel(), returns=returns)


def test_what_the_model_is_asked() -> None:
    """The text and the question, the form of the value, and what to say if there is none."""
    model = ScriptedModel(["not in the text"])
    with pytest.raises(ToolException):
        extract_with(model, returns=float | Literal["high", "low"]).invoke({"text": "K2.", "question": "height?"})
    system, human = model.calls[0]
    assert "one of 'high', 'low' or a number" in system.text
    assert "not in the text" in system.text
    assert human.text == "Text:\nK2.\n\nAsked for: height?"


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_in_a_plan(sync: bool) -> None:
    """Prose becomes a number that is calculated with; the model's tokens do not show among the answer's."""

    @tool
    def read(page: str) -> str:
        """Read a page."""
        return TEXT

    plan = '1. read("Everest")\n2. extract("$1", "height of Everest in m")\n3. calculate("$2 * 2")\n4. join()'
    graph = create_llm_compiler(
        ScriptedModel([plan, "Finish: 17,697.72 m"]), [read, extract_with(ScriptedModel(["8,848.86 m"])), calculate]
    )
    question: Any = {"messages": [HumanMessage("?")]}
    pieces: list[Any]
    if sync:
        pieces = await asyncio.to_thread(lambda: list(graph.stream(question, stream_mode=["messages", "values"])))
    else:
        pieces = [each async for each in graph.astream(question, stream_mode=["messages", "values"])]
    final: Any = pieces[-1][1]
    assert [task["value"] for task in final["tasks"]][1:] == [8848.86, 17697.72]
    told: list[Any] = [part[0] for mode, part in pieces if mode == "messages"]
    streamed = "".join(each.text for each in told if each.type == "AIMessageChunk")
    assert streamed == "17,697.72 m"
