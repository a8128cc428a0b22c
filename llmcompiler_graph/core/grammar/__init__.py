"""What a model may write: turns the tools at hand into grammars of the plan language and of the joiner's reply.

    tools  --literals, kinds, values, plan_lines, plans-->  rules  --forms-->  GBNF or Lark

It may know `core.language` and `core.checking`. Others use `plans.plan_grammar`, `decisions.decision_grammar`,
`forms.write`, `rules.Form` and `rules.Rules`; who makes grammars of forms of their own, all of `rules` and `notation`.
What each server is sent is said in `models.constraints`.
"""
