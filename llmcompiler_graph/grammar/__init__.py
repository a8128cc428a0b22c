"""Grammars that hold a model to the plan language and the joiner's reply, with the tools at hand.

    tools  --literals, kinds, values, plans-->  rules  --forms-->  GBNF, Lark or a regular expression

What each server is sent is said in `constrain`.
"""
