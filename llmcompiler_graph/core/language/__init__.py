"""The plan language: turns text, in any pieces, into tasks, references and decisions, and these back into text.

It may know `core.errors` only; whether a task fits its tool is a matter of `core.checking`. Others use `references`,
`substitution`, `plan`, `parser`, `procedures`, `guards`, `guard_reader`, `repetition`, `conditions`, `walker`,
`annotations`, `native_calls`, `thinking`, `decision`, `decision_parser`, `json_text`, and `parse_arguments` of
`call_syntax`; all else belongs to the parser.
"""
