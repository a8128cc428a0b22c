"""What one run of a node has its model use: counted for the state, and held to the turn's budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from langchain_core.messages import BaseMessage
from langchain_core.messages.ai import UsageMetadata, add_usage

from llmcompiler_graph.core.errors import BudgetError
from llmcompiler_graph.models.budget import Account, ModelCall, Role, estimated

__all__ = ("Spending",)

_OF_A_TASK = 40  # tokens that the joiner reads of a task besides its call, at least


class Spending:
    """Counts the calls of one model.

    Args:
        role: What the model does.
        account: What the turn has used of its budget; `None` if it has none.
    """

    def __init__(self, role: Role, account: Account | None) -> None:
        self._role: Role = role
        self._account = account
        self.usage: UsageMetadata | None = None
        """The tokens that the model has reported."""
        self.estimated: UsageMetadata | None = None
        """Those that it has not; always `None` without a budget."""

    @property
    def why(self) -> str:
        """What the state and the tasks are told where it is spent."""
        assert self._account is not None
        return f"{self._account.meter} was spent, but for what the answer takes, before it could start"

    def call(self, prompt: Sequence[BaseMessage], model: object) -> ModelCall:
        """Begin to count a call.

        Args:
            prompt: What the model is asked.
            model: It, with the tools that it is bound to.
        """
        return ModelCall(None if self._account is None else estimated(prompt, model))

    @contextmanager
    def counted(self, call: ModelCall) -> Iterator[None]:
        """Count a call, however it ends."""
        whole = False
        try:
            yield
            whole = not call.cut
        finally:
            self.usage = add_usage(self.usage, call.usage) if call.usage is not None else self.usage
            more = call.unreported(cut=not whole)
            self.estimated = add_usage(self.estimated, more) if more is not None else self.estimated
            if self._account is not None:
                self._account.add(self._role, call.usage)
                self._account.add(self._role, more)

    def has_room(
        self,
        prompt: int | Callable[[], Sequence[BaseMessage]],
        written: int = 0,
        *,
        tasks: int = 0,
        answers: bool = False,
    ) -> bool:
        """Whether the model may read and write so much.

        Args:
            prompt: Makes what it reads; or how many tokens that is.
            written: Tokens it writes.
            tasks: How many tasks of a plan that makes.
            answers: Whether it answers. If not, as much is left as the joiner takes to read the plan and its tasks with
                it, and to answer.
        """
        if self._account is None:
            return True
        read = prompt if isinstance(prompt, int) else estimated(prompt())
        shown = read + 2 * written + _OF_A_TASK * tasks
        joiner: tuple[Role, int, int] = ("joiner", shown, self._account.reserve)
        return self._account.has_room((self._role, read, written), *([] if answers else [joiner]))

    def affords_replan(self, prompt: Callable[[], Sequence[BaseMessage]]) -> bool:
        """Whether the budget does for this reply, for another plan and for an answer to that."""
        if self._account is None:
            return True
        read = estimated(prompt())
        answer: tuple[Role, int, int] = ("joiner", read, self._account.reserve)
        return self._account.has_room(("joiner", read, 0), ("planner", read, 0), answer)

    def may_answer(self, prompt: Sequence[BaseMessage]) -> bool:
        """Whether the joiner may read a prompt and write what is kept back for it."""
        return self._account is None or self.has_room(lambda: prompt, self._account.reserve, answers=True)

    def may_write(self, read: int, written: int) -> bool:
        """Whether the joiner may write more of an answer: up to the end of the budget, and what is kept back anyway."""
        if self._account is None or written <= self._account.reserve:
            return True
        return self._account.has_room((self._role, read, written))

    def check_first(self, call: ModelCall) -> None:
        """Refuse the first call of a turn, if it would read more than all of the budget.

        Raises:
            BudgetError: It would.
        """
        if self._account is not None and not self._account.has_room((self._role, call.read, 1)):
            msg = f"{self._account.meter} is less than the first prompt takes, which has about {call.read:,} tokens"
            raise BudgetError(msg)

    def no_answer(self) -> BudgetError:
        """The error that says that the joiner has used what was kept back, and not answered."""
        assert self._account is not None
        msg = (
            f"the joiner's model gave no answer within the {self._account.reserve:,} tokens kept back for it of "
            f"{self._account.meter}; what the tasks gave is in the thread's state, if there is a checkpointer"
        )
        return BudgetError(msg)
