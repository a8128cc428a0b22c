import asyncio
import re
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from langchain_core.exceptions import ContextOverflowError
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.calls.specs import tool_spec
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.grammar.plans import plan_grammar
from llmcompiler_graph.models.constraints import Constrain, Constraint, constraint_for
from llmcompiler_graph.testing import ScriptedModel
from llmcompiler_graph.tools import calculate, lookup
from tests.grammar_engine import accepts
from tests.scripted_server import ScriptedServer

PLAN = '1. calculate(expression="1 + 1")\n2. join()'
REPLY = "Thought: it is known.\nFinish: 2"


def asked(server: ScriptedServer, constrain: Constrain, **settings: Any) -> list[dict[str, Any]]:
    """What the planner and the joiner send, with their replies scripted."""
    model = ChatOpenAI(model="scripted", base_url=server.base_url, api_key="sk-scripted", max_retries=0)  # type: ignore[arg-type]
    graph = create_llm_compiler(model, [lookup, calculate], constrain=constrain, **settings)
    graph.invoke({"messages": [("user", "1 + 1?")]})
    return server.requests


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server that plans and answers."""
    with ScriptedServer([PLAN, REPLY]) as server:
        yield server


@pytest.mark.parametrize("constrain", ["llama.cpp", Constraint("llama.cpp")])
def test_llama_cpp(server: ScriptedServer, constrain: Constrain) -> None:
    """llama.cpp is sent GBNF in a field of its own, for the plan and for the decision."""
    plan, decision = asked(server, constrain)
    assert accepts(plan["grammar"], "gbnf", PLAN)
    assert accepts(decision["grammar"], "gbnf", REPLY)


def test_lark(server: ScriptedServer) -> None:
    """llama.cpp with llguidance takes Lark in the same field, marked as such."""
    plan, decision = asked(server, Constraint("llama.cpp", "lark"))
    assert accepts(plan["grammar"], "lark", PLAN)
    assert accepts(decision["grammar"], "lark", REPLY)


NEXT = '2. calculate(expression="$1 + 1")\n3. join()'


def test_a_replan() -> None:
    """The grammar of a replan goes on with the numbers, and lets refer to what was done where that fits."""
    with ScriptedServer([PLAN, "Thought: t\nReplan: more", NEXT, REPLY]) as server:
        grammar = asked(server, Constraint("llama.cpp", "lark"))[2]["grammar"]
    assert accepts(grammar, "lark", NEXT)
    assert not accepts(grammar, "lark", PLAN)
    assert not accepts(grammar, "lark", NEXT.replace("$1", "${1.height_m}"))


def test_a_fused_replan() -> None:
    """With `fuse_replan` the joiner's grammar has the next plan below `Replan`, unless it is the last time."""
    reply = f"Thought: t\nReplan: more\n{NEXT}"
    with ScriptedServer([PLAN, reply, REPLY]) as server:
        _, fused, last = asked(server, Constraint("llama.cpp", "lark"), fuse_replan=True, max_replans=1)
    assert accepts(fused["grammar"], "lark", reply)
    assert not accepts(fused["grammar"], "lark", reply.replace("$1", "${1.height_m}"))
    assert not accepts(last["grammar"], "lark", reply)


@pytest.mark.parametrize("fused", [False, True])
def test_a_fruitless_plan_is_followed_by_another(fused: bool) -> None:
    """After a first plan that found out nothing it was made for, the grammar leaves nothing but a replan."""
    useless = (
        '1. lookup(entity="Atlantis")\n2. lookup(entity="K2")\n3. calculate(expression="${1.height_m} - ${2.height_m}")'
    )
    again = "Thought: t\nReplan: more" + "\n4. join()" * fused
    with ScriptedServer([useless, again, *["4. join()"] * (not fused), REPLY]) as server:
        requests = asked(server, Constraint("llama.cpp", "lark"), fuse_replan=fused, max_repairs=0)
    assert accepts(requests[1]["grammar"], "lark", again)
    assert not accepts(requests[1]["grammar"], "lark", REPLY)
    assert accepts(requests[-1]["grammar"], "lark", REPLY)


@pytest.mark.parametrize(
    ("plan", "more"),
    [
        (PLAN, {}),
        ("1. join()", {}),
        ('1. lookup(entity="Atlantis")\n2. lookup(entity="K2")\n3. join()', {}),
        ('1. lookup(entity="Atlantis")\n2. join()', {"max_replans": 0}),
    ],
    ids=["done", "nothing planned", "partly done", "no plan left"],
)
def test_else_the_model_may_finish(plan: str, more: dict[str, Any]) -> None:
    """Something was found, or nothing was looked for, or another plan is not its to make: then it may answer."""
    with ScriptedServer([plan, REPLY]) as server:
        grammar = asked(server, Constraint("llama.cpp", "lark"), **more)[1]["grammar"]
    assert accepts(grammar, "lark", REPLY)


def test_what_a_human_rejected_may_be_answered() -> None:
    """A plan that a human has stopped is no reason for another."""
    with ScriptedServer(['1. lookup(entity="K2")\n2. join()', REPLY]) as server:
        model = ChatOpenAI(model="scripted", base_url=server.base_url, api_key="sk-scripted", max_retries=0)  # type: ignore[arg-type]
        approve, saver = {"lookup": True}, InMemorySaver()
        graph = create_llm_compiler(model, [lookup], constrain="llama.cpp", interrupt_on=approve, checkpointer=saver)
        thread: Any = {"configurable": {"thread_id": "1"}}
        graph.invoke({"messages": [("user", "how high?")]}, thread)
        graph.invoke(Command(resume={"decisions": [{"type": "reject", "message": "no"}]}), thread)
        assert accepts(server.requests[1]["grammar"], "gbnf", REPLY)


def test_a_repair() -> None:
    """Just the broken task is written again; it may refer to the others, but not to itself."""
    broken = '1. lookup(entity="K2")\n2. calculate(expression="$1 + 1")\n3. calculate(expression="1 + 1")\n4. join()'
    with ScriptedServer([broken, '2. calculate(expression="${1.height_m} + 1")', REPLY]) as server:
        _, repair, _ = asked(server, Constraint("llama.cpp", "lark"))
    assert accepts(repair["grammar"], "lark", '2. calculate(expression="${1.height_m} + $3")')
    for wrong in ('1. lookup(entity="K2")', '2. calculate(expression="$1 + 1")', '2. calculate(expression="$2 + 1")'):
        assert not accepts(repair["grammar"], "lark", wrong)


@pytest.mark.parametrize("form", ["gbnf", "lark"])
def test_vllm(server: ScriptedServer, form: Any) -> None:
    """A vLLM server is sent structured outputs of one sort."""
    for request, text in zip(asked(server, Constraint("vllm", form)), [PLAN, REPLY], strict=True):
        assert list(request["structured_outputs"]) == ["grammar"]
        assert accepts(request["structured_outputs"]["grammar"], form, text)


@pytest.mark.parametrize("form", ["gbnf", "lark"])
def test_sglang(server: ScriptedServer, form: Any) -> None:
    """SGLang is sent a grammar as EBNF, whatever its form."""
    for request, text in zip(asked(server, Constraint("sglang", form)), [PLAN, REPLY], strict=True):
        assert accepts(request["ebnf"], form, text)


@pytest.mark.parametrize("constrain", ["auto", None])
def test_nothing_is_sent_to_who_may_not_take_it(server: ScriptedServer, constrain: Constrain) -> None:
    """A model that is not known to take grammars gets none unless told so."""
    fields = {"grammar", "structured_outputs", "ebnf"}
    assert all(fields.isdisjoint(request) for request in asked(server, constrain))


def test_auto_holds_the_embedded_model() -> None:
    """Unless told otherwise, the embedded model is held to the most exact form of a grammar."""
    assert constraint_for("auto", "local:qwen2.5-coder-0.5b") == Constraint("llama.cpp", "lark", one_line=True)
    assert constraint_for(None, "local") is None


def grammars(server: ScriptedServer) -> list[bool]:
    """Which requests had one."""
    return ["grammar" in request for request in server.requests]


@pytest.mark.parametrize("refusal", [ValueError("no grammars here"), 422], ids=["400", "422"])
def test_a_server_that_refuses_grammars(refusal: int | Exception) -> None:
    """It is asked again without one, and never sent another; what it said is told."""
    with ScriptedServer([refusal, PLAN, "Replan: more", "2. join()", REPLY]) as server:
        with pytest.warns(UserWarning, match=r"asked without one.*(no grammars here|422)") as told:
            asked(server, "llama.cpp")
        assert grammars(server) == [True, False, False, False, False]
    assert len(told) == 1


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_only_one_of_two_servers_refuses(sync: bool) -> None:
    """The other goes on with grammars, and what is known of the first is so in later runs."""
    with ScriptedServer([PLAN, PLAN]) as planning, ScriptedServer([400, REPLY, REPLY]) as joining:
        planner, joiner = (
            ChatOpenAI(model="scripted", base_url=server.base_url, api_key="sk-scripted", max_retries=0)  # type: ignore[arg-type]
            for server in (planning, joining)
        )
        graph = create_llm_compiler(planner, [calculate], joiner_model=joiner, constrain="llama.cpp")
        question: Any = {"messages": [("user", "1 + 1?")]}
        with pytest.warns(UserWarning, match="refused a request with a grammar"):
            final = graph.invoke(question) if sync else await graph.ainvoke(question)
        assert final["messages"][-1].content == "2"
        graph.invoke(question)
        assert (grammars(planning), grammars(joining)) == ([True, True], [True, False, False])


def test_a_server_that_refuses_anything() -> None:
    """The error is that of the request without a grammar: it was not the grammar, so nothing is warned of."""
    with (
        ScriptedServer([400, ValueError("nor this")]) as server,
        pytest.raises(openai.BadRequestError, match="nor this"),
    ):
        asked(server, "llama.cpp")


class Refusing(ScriptedModel):
    """A model whose client raises an error if it is given more than messages, after some pieces of the reply."""

    error: Any
    pieces: int = 0

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        left = self.pieces
        async for piece in super()._astream(*args, **kwargs):
            if "extra_body" in kwargs and left == 0:
                raise self.error
            left -= 1
            yield piece


async def test_a_client_that_knows_no_grammars() -> None:
    """It is asked without one too."""
    model = Refusing(replies=[PLAN, PLAN, REPLY], error=TypeError("unexpected keyword argument 'extra_body'"))
    graph = create_llm_compiler(model, [calculate], constrain="vllm")
    with pytest.warns(UserWarning, match="extra_body"):
        final = await graph.ainvoke({"messages": [("user", "1 + 1?")]})
    assert final["messages"][-1].content == "2"


@pytest.mark.parametrize("pieces", [0, 1])
async def test_other_errors(pieces: int) -> None:
    """One that comes after the reply has begun, or that is about something else, is raised."""
    error = TypeError("late") if pieces else ConnectionError("gone")
    graph = create_llm_compiler(Refusing(replies=[PLAN], error=error, pieces=pieces), [calculate], constrain="vllm")
    with pytest.raises(type(error), match=str(error)):
        await graph.ainvoke({"messages": [("user", "1 + 1?")]})


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("request (20011 tokens) exceeds the available context size (16384 tokens)", openai.BadRequestError),
        ("The input (20011 tokens) is longer than the model's context length (16384 tokens).", openai.BadRequestError),
        ("This model's maximum context length is 4096 tokens. context_length_exceeded", ContextOverflowError),
    ],
)
def test_a_prompt_too_long(message: str, kind: type[Exception]) -> None:
    """A prompt that is too long is no refusal of the grammar: the error is as without one."""
    with ScriptedServer([ValueError(message)]) as server, pytest.raises(kind, match=re.escape(message)):
        asked(server, "llama.cpp")


@pytest.mark.parametrize(
    ("server", "form", "message"),
    [
        ("tgi", "gbnf", "a constraint's server must be 'llama.cpp', 'vllm', 'sglang', not 'tgi'"),
        ("vllm", "json", "a constraint's form must be 'gbnf', 'lark', not 'json'"),
        ("openai", "lark", "a constraint's server must be 'llama.cpp', 'vllm', 'sglang', not 'openai'"),
    ],
)
def test_what_no_server_takes(server: Any, form: Any, message: str) -> None:
    """A server or a form that is not known is refused when the constraint is made."""
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Constraint(server, form)


def test_what_the_model_sends_anyway_is_kept() -> None:
    """A model's own `extra_body` goes with the grammar."""
    own = {"chat_template_kwargs": {"enable_thinking": False}}
    with ScriptedServer([PLAN, REPLY]) as server:
        model = ChatOpenAI(model="scripted", base_url=server.base_url, api_key="sk-scripted", extra_body=own)  # type: ignore[arg-type]
        create_llm_compiler(model, [calculate], constrain="llama.cpp").invoke({"messages": [("user", "1 + 1?")]})
        assert grammars(server) == [True, True]
        assert [request["chat_template_kwargs"] for request in server.requests] == [own["chat_template_kwargs"]] * 2


def test_an_unknown_server() -> None:
    """Of a server that nobody knows, the error names the known ones."""
    unknown: Any = "lama.cpp"
    with pytest.raises(ConfigurationError, match=r"'sglang', a Constraint or None, not 'lama\.cpp'"):
        create_llm_compiler("openai:x", [lookup], constrain=unknown)


async def test_the_loop_goes_on_while_a_grammar_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop goes on while the grammar of a plan, or of a decision with a plan, is made."""
    loop = asyncio.get_running_loop()
    made = 0

    def waiting(*args: Any, **about: Any) -> Any:
        nonlocal made
        turned = threading.Event()
        loop.call_soon_threadsafe(turned.set)
        assert turned.wait(10)
        made += 1
        return plan_grammar(*args, **about)

    monkeypatch.setattr("llmcompiler_graph.models.constraints.plan_grammar", waiting)
    with ScriptedServer([PLAN, REPLY]) as server:
        model = ChatOpenAI(model="scripted", base_url=server.base_url, api_key="sk-scripted", max_retries=0)  # type: ignore[arg-type]
        graph = create_llm_compiler(model, [lookup, calculate], constrain="llama.cpp", fuse_replan=True)
        await graph.ainvoke({"messages": [("user", "1 + 1?")]})
    assert made == 2


def test_a_grammar_is_written_once() -> None:
    """A grammar that is needed again is not written again: all first plans of a graph have the same."""
    constraint = Constraint("llama.cpp")
    specs = [tool_spec(lookup), tool_spec(calculate)]
    assert constraint.plan(specs) is constraint.plan(specs)
    assert constraint.plan(specs) is not constraint.plan(specs, first=2)
    assert constraint.plan(specs) != constraint.decision_with_plan(specs)
    assert constraint == Constraint("llama.cpp")


def test_a_grammar_is_written_once_by_threads() -> None:
    """However many threads ask for a grammar at the same time, it is written once."""
    constraint, specs = Constraint("llama.cpp", "lark"), [tool_spec(lookup), tool_spec(calculate)]
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda _: constraint.plan(specs), range(8)))
    assert all(each is written[0] for each in written)
