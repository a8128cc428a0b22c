"""The paper's evaluations, its baselines and today's rivals: `python -m llmcompiler_graph.evaluation`.

It may know what users know: the public names of `llmcompiler_graph`, `.state`, `.testing` and `.tools`. As its
rivals plan too, it may also use, of the other folders:

- `core`: what a plan is made of (`language.plan`, `language.references`, `language.substitution`), how it is read
  (`language.parser`, `language.decision`, `checking.checker`), `examples.shown_tasks`, `schedule.resolving.resolved`,
  and what replies are held to (`grammar.plans`, `grammar.rules`, `grammar.notation`);
- `calls.specs.tool_spec`, `models.constraints.constraint_for`, `models.lazy`, `models.prices` and
  `models.system.listing`;
- `tools`: `facts`, `lookup.find`, `arithmetic.evaluate` and `exact.CalculationError`.

Others use `command` only.
"""
