"""`python -m bert_cli`: the same as `bertctl`."""

from bert_cli.cli import main

if __name__ == "__main__":
    main()
