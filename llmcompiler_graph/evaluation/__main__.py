"""The evaluation as a program: `python -m llmcompiler_graph.evaluation --help`."""

from llmcompiler_graph.evaluation.command import main

if __name__ == "__main__":
    main()
