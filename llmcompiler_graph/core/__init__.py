"""The compiler itself: turns a model's text and the tools' specs into calls, and their results into later arguments.

    text  --language-->  tasks  --checking-->  tasks that fit their tools  --schedule-->  calls and their results

It may know the standard library and nothing else; it does no I/O and reads no clock, and only `schedule.executor` uses
asyncio. Others use all that `errors`, `arguments` and `examples` list in `__all__`, and of each folder what its
`__init__` says.
"""
