"""Is it right: turns tasks, the tools' specs and JSON Schemas into tasks with named arguments, or into what is wrong.

It may know `core.errors` and `core.language`. Others use `Checker`, `check_plan` and `collect` of `checker`,
`Entities`, `Placeholders`, `CheckedProcedure`, `check_procedures`, `digest` and `pinned` of `procedures`,
`generalised`, what `answers`, `said_answers` and `questions` list in `__all__`, `calculating`, `roots_of` and
`thing` of `calculations`, `InliningError` of `inlining`, `compared_types` of `guard_types`, and what `schema` and
`expressions` say of values, paths, references and arithmetic.
"""
