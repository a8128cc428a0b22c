"""What runs when: turns checked tasks and finished calls into the next calls, which the executor awaits.

It may know `core.errors`, `core.language` and `core.checking`; its caller says how a call is made. Others use
`Executor`, `Moment`, `Suspended` and `Timing` of `executor`, `TaskFetchingUnit` of `unit`, `Start` of
`instructions`, `call_key` of `passes`, `repeated` of `repeating` and `resolved` of `resolving`; the other modules
belong to the unit.
"""
