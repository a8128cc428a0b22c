"""The paper's evaluations, its baselines and today's rivals: `python -m llmcompiler_graph.evaluation`."""
