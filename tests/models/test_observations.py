"""Results in every shape, as models are shown them."""

import asyncio
import base64
import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.models.observations import Images, shown, takes_images, without_images
from llmcompiler_graph.testing import ScriptedModel


def encoded(begins: bytes, size: int = 2000) -> str:
    """Bytes that begin in some way, as base64."""
    return base64.b64encode(begins + bytes(n * 7 % 256 for n in range(size))).decode()


PNG, JPEG = encoded(b"\x89PNG\r\n\x1a\n"), encoded(b"\xff\xd8\xff\xe0")
GIF, WEBP = encoded(b"GIF89a"), encoded(b"RIFF\x00\x00\x00\x00WEBP")
TEXT = {"type": "text", "text": "the page"}
STANDARD = {"type": "image", "base64": PNG, "mime_type": "image/png"}
URL = "https://example.com/a.png"


def block(data: str, mime: str) -> dict[str, Any]:
    """An image as LangChain has them."""
    return {"type": "image", "base64": data, "mime_type": mime}


@pytest.mark.parametrize(
    ("given", "image"),
    [
        (STANDARD, STANDARD),
        ({**STANDARD, "id": "lc_1"}, STANDARD),
        (block(JPEG, "image/png"), block(JPEG, "image/jpeg")),
        ({"type": "image", "base64": GIF}, block(GIF, "image/gif")),
        ({"type": "image", "data": WEBP, "mimeType": "image/webp"}, block(WEBP, "image/webp")),
        ({"type": "image", "source_type": "base64", "data": PNG, "mime_type": "image/png"}, STANDARD),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}, STANDARD),
        ({"type": "image", "source": {"type": "url", "url": URL}}, {"type": "image", "url": URL}),
        ({"type": "image", "url": URL}, {"type": "image", "url": URL}),
        ({"type": "image_url", "image_url": {"url": URL}}, {"type": "image_url", "image_url": {"url": URL}}),
        ({"type": "image_url", "image_url": URL}, {"type": "image_url", "image_url": {"url": URL}}),
        ({"type": "input_image", "image_url": URL}, {"type": "image_url", "image_url": {"url": URL}}),
    ],
)
@pytest.mark.parametrize("inside", [lambda b: [TEXT, b], lambda b: [[b]], lambda b: {"shot": b, "n": 1}, lambda b: b])
def test_images(given: dict[str, Any], image: dict[str, Any], inside: Any) -> None:
    """An image in any provider's form, wherever it stands in a value, is shown as one, and named in its place."""
    images = Images()
    text = shown(inside(given), 4000, images)
    assert images.blocks == [{"type": "text", "text": "Image 1:"}, image]
    assert "(image 1" in text
    assert ": above)" in text
    assert len(text) < 200


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (block(encoded(b"<svg>"), "image/svg+xml"), "(image, image/svg+xml: not shown, models take no such image)"),
        (block(encoded(b"II*\x00"), "image/tiff"), "(image, image/tiff: not shown, models take no such image)"),
        ({"type": "image", "url": "file:///tmp/a.png"}, "(image: not shown, models take no such image)"),
        ({"type": "image", "file_id": "f1"}, "(image: not shown, models take no such image)"),
        (block(PNG + "A" * 6_000_000, "image/png"), "(image, image/png: not shown, models take no such image)"),
        (
            {"type": "audio", "base64": PNG, "mime_type": "audio/wav"},
            "(audio, audio/wav, 2,680 characters of base64: not shown)",
        ),
        (
            {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
            "(input_audio, wav, 2,680 characters of base64: not shown)",
        ),
        ({"type": "video", "base64": PNG}, "(video, 2,680 characters of base64: not shown)"),
        (
            {"type": "file", "base64": PNG, "mime_type": "application/pdf"},
            "(file, application/pdf, 2,680 characters of base64: not shown)",
        ),
        (
            {"type": "resource", "resource": {"uri": "x://y", "blob": PNG, "mimeType": "application/zip"}},
            "(resource, application/zip, 2,680 characters of base64: not shown)",
        ),
        (
            {"type": "hologram", "data": PNG},
            {"type": "hologram", "data": "(binary data, 2,680 characters of base64: not shown)"},
        ),
        ({"name": "x", "data": PNG}, {"name": "x", "data": "(binary data, 2,680 characters of base64: not shown)"}),
    ],
)
def test_what_is_only_named(given: dict[str, Any], named: Any) -> None:
    """Audio, files, unknown blocks and bytes are named with their kind and size: nobody reads base64."""
    images = Images()
    assert json.loads(shown([given], 4000, images)) == [named]
    assert images.blocks == []


@pytest.mark.parametrize(
    "value",
    [
        {"type": "image", "caption": "a cat"},
        {"type": "file", "name": "a.txt"},
        {"type": "audio"},
        [{"type": "text", "text": "hello"}],
        "ACGT" * 1000,
        "0123456789abcdef" * 100,
        "a-very-long-word" * 100,
        "word " * 900,
    ],
)
def test_what_is_data(value: Any) -> None:
    """What only looks like a block, or like base64, is shown as it is."""
    assert shown(value, 10_000) == json.dumps(value)


def test_the_limit_is_one_of_text() -> None:
    """Text is cut, and said to be; images do not count, but no more than 20 are shown."""
    images = Images()
    text = shown([{"type": "text", "text": "x" * 5000}, STANDARD], 100, images)
    assert text == f'[{{"type": "text", "text": "{"x" * 73}… [cut: 100 of 5061 characters]'
    assert len(images.blocks) == 2
    text = shown([STANDARD] * 25, 4000, images)
    assert "(image 20, image/png: above)" in text
    assert "(image 21, image/png: not shown, only 20 are)" in text
    assert len(images.blocks) == 40


# -- in a run ----------------------------------------------------------------------------------------------------------


def run(tools: list[Any], plan: str, *more: str, profile: Any = None, **kwargs: Any) -> tuple[list[BaseMessage], Any]:
    """Run a plan; return the joiner's prompt and the final state."""
    model = ScriptedModel([plan, *more, "Finish: ok"], chunk_size=0, profile=profile)
    graph: Any = create_llm_compiler(model, tools, **kwargs)
    final = asyncio.run(graph.ainvoke({"messages": [HumanMessage("?")]}))
    return model.calls[-1], final


@tool
def screenshot(url: str) -> list[Any]:
    """Take a screenshot."""
    return [TEXT, STANDARD]


@tool
def report() -> dict[str, Any]:
    """Make a report."""
    return {"title": "T", "logo": b"\x89PNG\r\n\x1a\n" + bytes(3000), "sound": {"type": "audio", "base64": JPEG}}


@tool(response_format="content_and_artifact")
def served() -> tuple[list[Any], Any]:
    """Do as an MCP tool does whose server gives structured content beside an image."""
    return [{"type": "text", "text": '{"width": 3}'}, {**STANDARD, "id": "lc_1"}], {"structured_content": {"width": 3}}


@tool
def note(text: str) -> str:
    """Take a note."""
    return text


def images_in(prompt: list[BaseMessage]) -> list[Any]:
    """The images of a prompt."""
    contents = [message.content for message in prompt if isinstance(message.content, list)]
    return [each for content in contents for each in content if isinstance(each, dict) and "image" in each["type"]]


def test_the_joiner_sees_images() -> None:
    """Images reach the joiner as images, in front of the observations that name them; references take other parts."""
    plan = '1. screenshot("a")\n2. note(${1[0].text})\n3. report()\n4. note(${3.title})\n5. join()'
    prompt, final = run([screenshot, report, note], plan)
    assert prompt[-2].content == [{"type": "text", "text": "Image 1:"}, STANDARD]
    assert (
        '1. screenshot(url="a") = [{"type": "text", "text": "the page"}, "(image 1, image/png: above)"]'
        in prompt[-1].text
    )
    assert PNG[:100] not in prompt[-1].text
    assert '"sound": "(audio, 2,' in prompt[-1].text
    assert [final["tasks"][n]["value"] for n in (1, 3)] == ["the page", "T"]
    assert images_in(final["messages"]) == [STANDARD]


def test_images_of_a_fan_out() -> None:
    """The images of a task that fans out are shown, in order."""

    @tool
    def urls() -> list[str]:
        """List."""
        return ["a", "b"]

    prompt, _ = run([urls, screenshot], "1. urls()\n2. screenshot(${1[*]})\n3. join()")
    assert images_in(prompt) == [STANDARD, STANDARD]
    assert "(image 2, image/png: above)" in prompt[-1].text


def test_images_beside_structured_content() -> None:
    """An MCP tool's structured content is the value, and its image is shown beside it."""
    prompt, final = run([served, note], "1. served()\n2. note(${1.width})\n3. join()")
    assert [task["value"] for task in final["tasks"]] == [{"width": 3}, "3"]
    assert images_in(prompt) == [STANDARD]
    assert '1. served() = {"width": 3} with [{"type": "text"' in prompt[-1].text


def test_a_replan_sees_the_same_prompt() -> None:
    """What was shown once is shown again in the same words: the prompt only grows."""
    model = ScriptedModel(['1. screenshot("a")\n2. join()', "Replan: more", '2. note("x")\n3. join()', "Finish: ok"])
    graph: Any = create_llm_compiler(model, [screenshot, note])
    asyncio.run(graph.ainvoke({"messages": [HumanMessage("?")]}))
    first, replan, last = model.calls[1], model.calls[2], model.calls[3]
    assert replan[: len(first)] == last[: len(first)] == first


def test_images_of_an_earlier_turn() -> None:
    """A later turn is told that there was an image; it is not sent again."""
    model = ScriptedModel(['1. screenshot("a")\n2. join()', "Finish: a page", "1. join()", "Finish: ok"])
    graph: Any = create_llm_compiler(model, [screenshot])
    first = asyncio.run(graph.ainvoke({"messages": [HumanMessage("what is there?")]}))
    asyncio.run(graph.ainvoke({"messages": [*first["messages"], HumanMessage("and now?")]}))
    assert images_in(model.calls[2]) == []
    assert (
        'screenshot(url="a") = [{"type": "text", "text": "the page"}, "(image, image/png)"]' in model.calls[2][1].text
    )


def test_a_model_that_reads_text_only() -> None:
    """A model whose LangChain profile says that it takes no images is told of them, and asked all the same."""
    prompt, _ = run([screenshot], '1. screenshot("a")\n2. join()', profile={"image_inputs": False})
    assert images_in(prompt) == []
    assert prompt[-2].content == [{"type": "text", "text": "Image 1: not shown, this model reads text only"}]
    assert takes_images(ScriptedModel([]))
    assert not takes_images(ScriptedModel([], profile={"image_inputs": False}).with_config(tags=["x"]))


def test_a_users_own_images_stay() -> None:
    """Only the images of observations are left out for a model that reads text only: a user's are the user's."""
    prompt: list[BaseMessage] = [HumanMessage([TEXT, STANDARD]), AIMessage("ok")]
    assert without_images(prompt) == prompt
