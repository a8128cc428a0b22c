"""Whose failure it was: the provider's, whose model is asked again, or the system's, which is its answer.

>>> provider_status(ConnectionError("no route")), provider_status(ValueError("no such tool"))
(503, None)
"""

from __future__ import annotations

from collections.abc import Sequence

from llmcompiler_graph.evaluation.records import Answer

__all__ = ("RETRIED", "failed_answer", "provider_status")

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""HTTP statuses after which it is worth while to wait and try again."""
_HOPELESS = frozenset({401, 402, 403, 404})  # the key or the model's name is wrong: so are all other examples
_NO_ANSWER = frozenset({"APIConnectionError", "APITimeoutError", "APIError"})  # the last, itself, ends a stream


def provider_status(error: BaseException, model_errors: Sequence[BaseException] = ()) -> int | None:
    """The HTTP status of a failure that is the provider's, 503 if there was no answer; `None` if it is not theirs.

    Args:
        error: What the system raised.
        model_errors: What models raised: running out of time is the provider's there alone.
    """
    cause: BaseException | None = error
    while cause is not None:
        status = getattr(cause, "status_code", getattr(cause, "code", None))
        if isinstance(status, int):
            hopeless = status in _HOPELESS or getattr(cause, "param", None) == "temperature"  # which is in all requests
            return status if status in RETRIED or hopeless else None
        if isinstance(cause, TimeoutError) and any(cause is each for each in model_errors):
            return 503
        # the SDKs of all providers say so in these words, and share no base class
        kinds = {kind.__name__ for kind in type(cause).__mro__}
        if isinstance(cause, ConnectionError) or "TransportError" in kinds or type(cause).__name__ in _NO_ANSWER:
            return 503
        cause = cause.__cause__
    return None


def failed_answer(error: BaseException) -> Answer:
    """The answer of a system that failed by its own fault."""
    return Answer("", errors=(f"{type(error).__name__}: {error}",))
