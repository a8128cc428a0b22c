"""What chat UIs see of a served graph, through the published JavaScript SDK: plans, results, answers, approvals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.chat_ui.conftest import Served

HERE = Path(__file__).parent
NODE = shutil.which("node")
if not (NODE and (HERE / "node_modules" / "@langchain" / "langgraph-sdk").exists()):
    missing = "the JavaScript SDK is not installed: `npm install` in tests/chat_ui, with Node.js 20 or newer"
    if os.environ.get("LLMCOMPILER_REQUIRE_NODE"):
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing, allow_module_level=True)

both_protocols = pytest.mark.parametrize("protocol", ["runs", "threads"])


class Chat(NamedTuple):
    """A served graph, and the models' server."""

    served: Served

    def ask(self, protocol: str, replies: list[str], *steps: Any, assistant: str = "calls") -> list[dict[str, Any]]:
        """Go through a conversation: a text is a question, anything else the answer to an interrupt."""
        self.served.provider.replies, self.served.provider.requests = list(replies), []
        given = [
            {"input": {"messages": [{"role": "user", "content": step}]}} if isinstance(step, str) else {"resume": step}
            for step in steps
        ]
        command = [str(NODE), str(HERE / "sdk.mjs"), self.served.url, assistant, protocol, json.dumps(given)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def chat(served: Served) -> Chat:
    """The graphs of `served_graphs.py`, through the SDK."""
    return Chat(served)


def shown(step: dict[str, Any]) -> list[Any]:
    """What a chat UI shows of the messages: their text, or for a plan the names of its calls."""
    return [[call["name"] for call in m.get("tool_calls") or []] or m["content"] for m in step["messages"]]


def requests(step: dict[str, Any]) -> list[Any]:
    """The calls that a paused run asks about."""
    (question,) = step["interrupts"]
    return [(request["name"], request["args"]) for request in question["value"]["action_requests"]]


@both_protocols
def test_a_plan_is_a_message_with_calls_and_the_answer_streams(chat: Chat, protocol: str) -> None:
    """The plan, each result and the answer are messages; of the models' texts only the answer is streamed."""
    plan = '1. lookup("Mount Everest")\n2. lookup("K2")\n3. calculate("${1.height_m} - ${2.height_m}")\n4. join()'
    (step,) = chat.ask(protocol, [plan, "Finish: It is 237.86 m taller."], "How much taller is Everest than K2?")
    question, calls, everest, k2, difference, answer = shown(step)
    assert question == "How much taller is Everest than K2?"
    assert calls == ["lookup", "lookup", "calculate"]
    assert [json.loads(each)["height_m"] for each in (everest, k2)] == [8848.86, 8611]
    assert difference == "237.86"
    assert answer == "It is 237.86 m taller."
    (pieces,) = step["streamed"]
    assert "".join(pieces) == answer
    assert len(pieces) > 1
    assert step["interrupts"] == []


@both_protocols
def test_one_approval(chat: Chat, protocol: str) -> None:
    """A paused run shows what is done and asks about the resolved call; an edit in a form's text counts as a number."""
    plan = '1. lookup("K2")\n2. pay("${1.height_m}", "Ann")\n3. join()'
    edited = {"type": "edit", "edited_action": {"name": "pay", "args": {"amount": "100", "to": "Ann"}}}
    replies = [plan, "Finish: Ann is paid.", "1. join()", "Finish: Ann."]
    paused, final, second = chat.ask(protocol, replies, "Pay Ann.", {"decisions": [edited]}, "Who was paid?")
    assert requests(paused) == [("pay", {"amount": 8611, "to": "Ann"})]
    assert [m["type"] for m in paused["messages"]] == ["human", "ai", "tool"]
    assert shown(final)[-2:] == ["paid 100 to Ann", "Ann is paid."]
    assert "".join(final["streamed"][0]) == "Ann is paid."
    assert shown(second)[-1] == "Ann."


@both_protocols
def test_two_approvals_at_once(chat: Chat, protocol: str) -> None:
    """Two calls are one question in the plan's order, and one answer decides about both."""
    plan = '1. lookup("K2")\n2. pay("${1.height_m}", "Ann")\n3. mail("Bob", "Ann has her money")\n4. join()'
    decisions = [{"type": "approve"}, {"type": "reject", "message": "not yet"}]
    paused, final = chat.ask(protocol, [plan, "Finish: Paid."], "Pay Ann, tell Bob.", {"decisions": decisions})
    assert requests(paused) == [
        ("pay", {"amount": 8611, "to": "Ann"}),
        ("mail", {"to": "Bob", "text": "Ann has her money"}),
    ]
    allowed = [each["allowed_decisions"] for each in paused["interrupts"][0]["value"]["review_configs"]]
    assert allowed == [["approve", "edit", "reject", "respond"], ["approve", "reject"]]
    assert shown(final)[-3:] == ["paid 8611 to Ann", "a human rejected it: not yet", "Paid."]
    assert final["interrupts"] == []


@both_protocols
def test_a_plan_is_approved_edited_and_rejected(chat: Chat, protocol: str) -> None:
    """The plan is one action with its text and a table; an edit that cannot be used is asked about again."""
    plan = '1. lookup("K2")\n2. pay("${1.height_m}", "Ann")\n3. join()'

    def edit(text: str) -> Any:
        return {"decisions": [{"type": "edit", "edited_action": {"name": "plan", "args": {"plan": text}}}]}

    broken, mended = edit('1. lokup("K2")'), edit('1. lookup("Elbrus")')
    replies = [plan, "Finish: 5,642 m.", plan, "Finish: No."]
    rejected = {"decisions": [{"type": "reject", "message": "too expensive"}]}
    steps = ("Pay Ann.", broken, mended, "Pay Ann.", rejected)
    paused, again, final, _, refused = chat.ask(protocol, replies, *steps, assistant="plans")
    ((name, args),) = requests(paused)
    assert (name, args["plan"].splitlines()[0]) == ("plan", '1. lookup(entity="K2")')
    (request,) = paused["interrupts"][0]["value"]["action_requests"]
    assert "| lookup |" in request["description"].replace("`", "")
    assert [m["type"] for m in paused["messages"]] == ["human", "ai"]
    assert "did you mean 'lookup'" in again["interrupts"][0]["value"]["error"]
    assert shown(final)[1] == ["lookup"]
    assert shown(final)[-1] == "5,642 m."
    assert [text for text in shown(refused) if "too expensive" in str(text)]
    assert shown(refused)[-1] == "No."


def test_another_question_instead_of_a_decision(chat: Chat) -> None:
    """Who asks something else while a call waits gets an answer; the call is not made, and its result says so."""
    plan = '1. pay(5, "Ann")\n2. join()'
    replies = [plan, '1. lookup("Elbrus")\n2. join()', "Finish: 5,642 m."]
    _, final = chat.ask("runs", replies, "Pay Ann.", "Never mind. How high is Elbrus?")
    assert shown(final)[2].startswith("cancelled")
    assert shown(final)[-1] == "5,642 m."
    assert not any("paid" in str(text) for text in shown(final))


def test_a_server_that_takes_the_question_for_an_answer(chat: Chat) -> None:
    """The server gives what a thread's stream starts while it waits to the interrupt: it is asked about again."""
    plan = '1. pay(5, "Ann")\n2. join()'
    _, again = chat.ask("threads", [plan], "Pay Ann.", "Never mind. How high is Elbrus?")
    (question,) = again["interrupts"]
    assert question["value"]["error"].startswith('expected {"decisions": [{"type": "approve"}, …]}')
    assert requests(again) == [("pay", {"amount": 5, "to": "Ann"})]
