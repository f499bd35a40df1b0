"""`python -m bert_cli`: the same as `bertctl`."""

from bert_cli.cli import start
from bert_cli.launch import bound_to_parent

if __name__ == "__main__":
    bound_to_parent()
    start()
