"""For large tool sets: which tools and examples a question's prompt shows.

The embedded default ranks tools by BM25 (see `ranking`). Chains are made of tools that speak of the same things, so the
words of the best matches count a little too: without that, a tool that only an intermediate result is for is rarely
found. Measured in `tests/benchmarks/tool_selection.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, SystemMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool

from llmcompiler_graph.calls.specs import as_tools, tool_spec
from llmcompiler_graph.concurrency.threads import in_thread
from llmcompiler_graph.core.arguments import check_count, refused
from llmcompiler_graph.core.checking.schema import Schema, alternatives
from llmcompiler_graph.core.errors import ConfigurationError, PlanError
from llmcompiler_graph.core.examples import PlanExample, shown_tasks
from llmcompiler_graph.core.language.decision import Replan, parse_decision
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.models.system import listing
from llmcompiler_graph.state import LLMCompilerState, Selected
from llmcompiler_graph.tool_selection.ranking import Ranking, split_words, words

if TYPE_CHECKING:
    from langchain_core.vectorstores import InMemoryVectorStore

__all__ = ("SelectTools", "ToolSelection", "tool_documents", "tool_text", "tool_words")

Found: TypeAlias = Iterable[str | BaseTool | Document]
SelectTools: TypeAlias = (
    int | Literal["bm25"] | Embeddings | BaseRetriever | Callable[[str], "Found | Awaitable[Found]"]
)
"""What picks tools for a question.

A number is how many BM25 picks, `"bm25"` is 8. An embedding model picks 8. A retriever finds documents with the tool's
name in their metadata, as `tool` (see `tool_documents`). A function takes the question and gives names or tools.
"""

_PICKED = 8  # tools, unless the caller says how many
_EXAMPLES = 3  # shown at most


class ToolSelection:
    """Picks tools and examples, and writes the system message with them.

    Args:
        select: What picks.
        tools: All tools.
        examples: All examples; those that match a question are shown, and their tools with them. `None` to make some
            of the tools that are picked.
        write: Writes the system message, given the tools and examples to show.

    Raises:
        ConfigurationError: `select` cannot pick.
    """

    def __init__(
        self,
        select: SelectTools,
        tools: Sequence[ToolSpec],
        examples: Sequence[PlanExample] | None,
        write: Callable[[Sequence[ToolSpec], Sequence[PlanExample] | None], SystemMessage],
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._names = {tool.called: tool.name for tool in tools}
        self._examples = examples
        self._uses = [_tools_used(example) for example in examples or ()]
        self._questions = [example.question for example in examples or ()]
        self._stores: tuple[InMemoryVectorStore, InMemoryVectorStore] | None = None
        self._rankings: tuple[Ranking, Ranking] | None = None
        self._select = select
        self._write = write
        given: object = select
        if isinstance(given, int):
            check_count("select_tools", given, 1)
        if isinstance(select, int) or select == "bm25":
            self._rankings = (
                Ranking([tool_words(tool) for tool in tools]),
                Ranking([words(question) for question in self._questions], feedback=0),
            )
        elif isinstance(given, str) or not (isinstance(given, Embeddings | BaseRetriever) or callable(given)):
            raise refused("select_tools", "a number, 'bm25', embeddings, a retriever or a function", select)

    async def select(self, state: LLMCompilerState) -> list[Selected]:
        """Pick what the next plan of a turn may need, beside what was picked for its earlier ones.

        The first plan of a turn is also shown what the last plan of the turn before called, a replan what its joiner
        asked for.
        """
        messages, rounds = state["messages"], state.get("rounds", [])
        earlier = state.get("selected", []) if rounds else []
        turn = next((each for each in messages if each.id == state.get("turn")), messages[-1])
        reply = parse_decision(rounds[-1]["reply"]) if rounds else None
        wanted_now = reply.feedback if isinstance(reply, Replan) and reply.feedback else turn.text
        names, examples = await self._pick(wanted_now)
        if rounds:
            shown = {name for one in earlier for name in one["tools"]}
            new = [name for name in self._tools if name in names and name not in shown]
            return [*earlier, Selected(round=len(rounds), tools=new, examples=[])]
        plans = [each.tool_calls for each in messages if isinstance(each, AIMessage) and each.tool_calls]
        called = (call["name"] for call in plans[-1]) if plans else ()
        wanted = {*names, *called, *(name for n in examples for name in self._uses[n])}
        tools = [name for name in self._tools if name in wanted]
        return [Selected(round=0, tools=tools, examples=sorted(examples))]

    def system(self, selected: Selected) -> SystemMessage:
        """Write the system message with what was picked for the first plan of a turn."""
        tools = [self._tools[name] for name in selected["tools"] if name in self._tools]
        if self._examples is None:
            return self._write(tools, None)
        return self._write(tools, [self._examples[n] for n in selected["examples"] if n < len(self._examples)])

    def more(self, selected: Selected) -> str:
        """List what was picked for a replan."""
        return listing(self._tools[name] for name in selected["tools"] if name in self._tools)

    async def _pick(self, query: str) -> tuple[list[str], list[int]]:
        listed, select = list(self._tools), self._select
        if self._rankings is not None:
            tools, examples = self._rankings
            asked = words(query)
            count = select if isinstance(select, int) else _PICKED
            return [listed[n] for n in tools.best(asked, count)], examples.best(asked, _EXAMPLES)
        if isinstance(select, Embeddings):
            tool_store, example_store = await self._embedded(select)
            vector = await select.aembed_query(query)
            names = [each.metadata["tool"] for each in await tool_store.asimilarity_search_by_vector(vector, _PICKED)]
            near = await example_store.asimilarity_search_by_vector(vector, _EXAMPLES)
            return names, [each.metadata["example"] for each in near]
        if isinstance(select, BaseRetriever):
            found: Any = await select.ainvoke(query)
        elif inspect.iscoroutinefunction(select):
            found = await select(query)
        else:
            assert callable(select)
            found = await in_thread("select_tools", select, query)
            found = await found if inspect.isawaitable(found) else found
        names = [self._name(each) for each in found]
        fitting = (n for n, used in enumerate(self._uses) if used <= set(names))
        return names, [n for n, _ in zip(fitting, range(_EXAMPLES), strict=False)]

    async def _embedded(self, model: Embeddings) -> tuple[InMemoryVectorStore, InMemoryVectorStore]:
        if self._stores is None:
            from langchain_core.vectorstores import InMemoryVectorStore  # it loads NumPy

            stores = InMemoryVectorStore(model), InMemoryVectorStore(model)
            await stores[0].aadd_documents([_document(tool) for tool in self._tools.values()])
            if questions := [Document(text, metadata={"example": n}) for n, text in enumerate(self._questions)]:
                await stores[1].aadd_documents(questions)
            self._stores = stores
        return self._stores

    def _name(self, found: str | BaseTool | Document) -> str:
        match found:
            case Document():
                name = found.metadata.get("tool", found.page_content)
            case BaseTool():
                name = found.name
            case _:
                name = found
        name = self._names.get(name, name)
        if name not in self._tools:
            msg = f"select_tools gave {found!r:.120}, which names no tool of this graph"
            raise ConfigurationError(msg)
        return str(name)


def _tools_used(example: PlanExample) -> set[str]:
    try:
        return {task.tool for plan in shown_tasks(example) for task in plan}
    except PlanError:  # refused elsewhere, with its place
        return set()


# -- what is said of a tool ------------------------------------------------------------------------------------------


def tool_text(tool: ToolSpec) -> str:
    """Write what a tool is for: the words of its name, its description, its arguments and what it returns."""
    name = " ".join(split_words(tool.name))
    parts = [f"{name}: {tool.description}", *_arguments(tool), *_told(tool.returns, tool.definitions)]
    return "\n".join(filter(None, parts))


def tool_documents(tools: Sequence[BaseTool | Callable[..., Any]]) -> list[Document]:
    """Make documents of tools, to fill a vector store or a retriever with for `select_tools`."""
    return [_document(tool_spec(tool)) for tool in as_tools(tools)]


def _document(tool: ToolSpec) -> Document:
    return Document(tool_text(tool), id=tool.name, metadata={"tool": tool.name})


def tool_words(tool: ToolSpec) -> list[str]:
    """The words of a tool for `Ranking`; those of its name and description count twice."""
    twice = words(f"{tool.name} {tool.description}")
    return twice * 2 + words(" ".join([*_arguments(tool), *_told(tool.returns, tool.definitions)]))


def _arguments(tool: ToolSpec) -> list[str]:
    texts = []
    for name, schema in tool.parameters.items():
        description = schema.get("description") if isinstance(schema, dict) else None
        texts.append(description if isinstance(description, str) else name)
    return texts


def _told(schema: Schema, definitions: Mapping[str, Any]) -> list[str]:
    """What a return schema says of itself and its fields."""
    texts: list[str] = []
    for option in alternatives(schema, definitions):
        properties = option.get("properties")
        texts.append(str(option.get("description", "")))
        for name, field in properties.items() if isinstance(properties, dict) else ():
            texts.append(str(field.get("description", name)) if isinstance(field, dict) else name)
    return list(filter(None, texts))
