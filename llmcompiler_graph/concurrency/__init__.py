"""Where code runs, and how it is given up: turns functions into awaited threads, coroutines into calls with a limit.

It knows the standard library and nothing else of the package. Others use `threads` (synchronous tools), `giving_up`
(what may take too long) and `background` (the event loop of synchronous callers, the thread of a synchronous model).
"""
