"""Tools picked for a question from a catalogue of over a thousand: are those it needs among them, and what is saved?

python tests/benchmarks/tool_selection.py --data DIR [--local]

DIR holds NesTools' `test_data.jsonl`: questions, each with the tools it needs and their calls. The tools of all
questions together are the catalogue. Ranking was tuned on the questions with an even position; the others are reported
apart. Tokens are those of the system message: counted by the local model's server with `--local`, else by tiktoken
where its vocabulary is at hand, else 4 characters are one.
"""

import argparse
import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import httpx
from langchain_core.messages import HumanMessage
from pydantic import SecretStr

from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.models.local import local_chat_model
from llmcompiler_graph.models.system import system_message
from llmcompiler_graph.state import Selected
from llmcompiler_graph.tool_selection import ToolSelection

_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"}


def schema(declared: dict[str, Any]) -> dict[str, Any]:
    """A field of the data set as JSON Schema."""
    kind = _TYPES.get(str(declared.get("type", "")).lower())
    return {**({"type": kind} if kind else {}), "description": str(declared.get("description", ""))}


def spec(api: dict[str, Any]) -> ToolSpec:
    """An API of the data set as a tool."""
    return ToolSpec(
        name=api["api_name"],
        parameters={name: schema(each) for name, each in api["parameters"].items()},
        required=frozenset(api["required"]),
        returns={"type": "object", "properties": {name: schema(each) for name, each in api["responses"].items()}},
        description=api["api_description"],
    )


def counter(local: bool) -> tuple[str, Callable[[str], int]]:
    """How tokens are counted, and what counts them."""
    if local:
        model = local_chat_model("qwen2.5-coder-0.5b")
        url = f"{str(model.openai_api_base).removesuffix('/v1')}/tokenize"
        key = cast("SecretStr", model.openai_api_key).get_secret_value()
        client = httpx.Client(trust_env=False, timeout=60, headers={"Authorization": f"Bearer {key}"})
        return "Qwen2.5", lambda text: len(client.post(url, json={"content": text}).raise_for_status().json()["tokens"])
    try:
        import tiktoken

        encoding = tiktoken.get_encoding("o200k_base")
    except Exception as error:  # no package, no file of its vocabulary, no network to fetch it by
        return f"characters / 4 ({type(error).__name__} from tiktoken)", lambda text: len(text) // 4
    return "tiktoken o200k_base", lambda text: len(encoding.encode(text))


async def pick(selection: ToolSelection, question: str) -> Selected:
    """What is picked for a question."""
    (selected,) = await selection.select({"messages": [HumanMessage(question)]})
    return selected


def report(name: str, samples: Sequence[dict[str, Any]], picked: Sequence[Selected]) -> None:
    """Print how many of the needed tools were picked."""
    needed = [{call["api_name"] for call in sample["call"]} for sample in samples]
    shares = [len(need & set(got["tools"])) / len(need) for need, got in zip(needed, picked, strict=True)]
    whole = sum(need <= set(got["tools"]) for need, got in zip(needed, picked, strict=True))
    print(f"  {name}: recall {sum(shares) / len(shares):.3f}, all needed tools {whole}/{len(samples)}")


async def main(data: Path, local: bool) -> None:
    """Print the catalogue's size, recall at several sizes, and tokens with and without selection."""
    samples = [json.loads(line) for line in (data / "test_data.jsonl").read_text().splitlines()]
    tools = list({api["api_name"]: spec(api) for sample in reversed(samples) for api in sample["api"]}.values())
    print(f"{len(samples)} questions, {len(tools)} distinct tools, 2 to 6 needed by each question")
    for count in (4, 8, 16, 32):
        selection = ToolSelection(count, tools, (), lambda some, examples: system_message(some, tools_last=True))
        picked = [await pick(selection, sample["task"]) for sample in samples]
        print(f"{count} picked")
        report("tuned on (even) ", samples[0::2], picked[0::2])
        report("held out (odd)  ", samples[1::2], picked[1::2])
        if count == 8:
            how, tokens = counter(local)
            shown = [tokens(selection.system(each).text) for each in picked]
            whole = tokens(system_message(tools).text)
            print(f"  system message: {whole} tokens with all tools, {sum(shown) / len(shown):.0f} with 8 ({how})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--local", action="store_true", help="count tokens with the local model's server")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.data, arguments.local))
