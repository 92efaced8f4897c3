"""`python -m study`: the commands, one line each."""

COMMANDS = {
    "grid": "python -m study.grid experiments/main.yaml    train a grid; a row a run in results/main",
    "figures": "python -m study.figures results/main          draw every figure from stored results alone",
}

if __name__ == "__main__":
    print(*COMMANDS.values(), "Each takes --help, which has examples.", sep="\n")
