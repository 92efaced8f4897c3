"""`python -m study`: the commands, one line each."""

import sys

COMMANDS = {
    "python -m study.grid experiments/main.yaml": "train a grid; a row a run in results/main",
    "python -m study.figures results/main": "draw every figure from stored results alone",
    "python -m study.answers": "answer the forum post and the notebook from the stored runs of their grids",
    "python -m study.dynamics results/main": "find what carries the pattern in kept weights; a table a question",
    "python -m study.paper": "build the paper (PDF and Markdown), every number and claim from results",
    "python -m study.audit results/main --sample 40": "train a sample again with plain torch and compare",
    "python -m study.compare results/main results/mine": "say what changed between two result sets, cell by cell",
    "python -m study.tune results/main --block NAME": "choose learning rates from tuning runs",
}

if __name__ == "__main__":
    width = max(map(len, COMMANDS))
    print(*(f"{command:<{width}}  {does}" for command, does in COMMANDS.items()), sep="\n")
    print("Each takes --help, which has examples.")
    sys.exit(2 if sys.argv[1:] else 0)
