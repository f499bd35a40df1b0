"""`bertctl data`: a corpus is tokenised once, and described."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Cli

from bert_cli.data.shards import Corpus

TEXT = """\
The film was good. The plot was dull, but the cast seems great.
A scene of the story

The music is lovely. Is it?

电影
"""


@pytest.fixture
def text() -> Path:
    """In the folder that the commands run in."""
    Path("corpus.txt").write_text(TEXT, encoding="utf-8")
    return Path("corpus.txt")


@pytest.mark.usefixtures("text")
def test_prepare_tokenises_a_corpus(cli: Cli, tiny_bert: Path) -> None:
    done = cli(f"data prepare corpus.txt --tokenizer {tiny_bert} --out tokens")
    assert done.code == 0, done.err
    assert "tokenising corpus.txt" in done.err
    lines = dict(line.split(maxsplit=1) for line in done.out.splitlines())
    assert (lines["folder"], lines["documents"], lines["sentences"]) == ("tokens", "2", "5")
    assert "tokens/s" in lines["speed"] and "MB" in lines["size"]
    assert "1 documents of which the tokenizer knows no word" in done.out
    corpus = Corpus.open(Path("tokens"))
    assert lines["tokens"] == f"{corpus.n_tokens:,}"


@pytest.mark.usefixtures("text")
def test_prepare_once_more_says_that_it_is_there(cli: Cli, tiny_bert: Path) -> None:
    first = cli(f"data prepare --data corpus.txt -m {tiny_bert} -o tokens --json -q")
    assert first.err == "" and first.json["new"] is True and first.json["seconds"] > 0
    again = cli(f"data prepare corpus.txt -m {tiny_bert} -o tokens --json")
    assert again.code == 0 and "there already" in again.err
    assert again.json == {**first.json, "new": False, "seconds": None}
    Path("corpus.txt").write_text("other text\n")
    other = cli(f"data prepare corpus.txt -m {tiny_bert} -o tokens")
    assert other.code == 3 and other.mistakes[0].startswith("error[D064]") and "help:" in other.err


@pytest.mark.usefixtures("text")
def test_prepare_takes_the_keys_and_the_recipe_of_a_pretraining(cli: Cli, tiny_bert: Path) -> None:
    recipe = {"model": {"name": str(tiny_bert)}, "data": {"source": "corpus.txt", "sentences": "lines"}}
    Path("mine.yaml").write_text(json.dumps({"task": "fill-mask", **recipe}))
    assert cli("data prepare mine.yaml --out a --json -q").json["sentences"] == 3
    assert cli("data prepare mine.yaml data.sentences=split --out b --json -q").json["sentences"] == 5
    assert cli("data prepare mine.yaml --limit 1 --out c --json -q").json["documents"] == 1
    Path("rows.jsonl").write_text('{"body": "a film"}\n')
    done = cli("data prepare mine.yaml --data rows.jsonl data.columns.text=body --out d --json -q")
    assert done.json["documents"] == 1


@pytest.mark.usefixtures("text")
@pytest.mark.parametrize(
    ("words", "exit_code", "code", "parts"),
    [
        ("data prepare corpus.txt --out x", 2, "U084", ("--tokenizer",)),
        ("data prepare -m {bert} --out x", 2, "U013", ("corpus.txt",)),
        ("data prepare none.txt -m {bert} --out x", 3, "D080", ("none.txt",)),
        ("data prepare corpus.txt other.txt -m {bert} --out x", 2, "U005", ("corpus.txt other.txt", "quotes")),
        ("data prepare corpus.txt -m {bert} --out .", 3, "D065", ("corpus.txt",)),
        ("data prepare tokens -m {bert} --out x", 2, "U078", ("data stats tokens",)),
        ("data prepare -m {bert} --out x data.mix.a=1 data.mix.b=2", 2, "U079", ("a, b",)),
        ("data prepare corpus.txt -m {bert} --out x data.colums.text=a", 2, "R020", ("data.columns",)),
        ("data stats none.txt", 3, "D080", ()),
        ("data stats", 2, "U013", ()),
    ],
)
def test_mistakes_are_told(
    cli: Cli, tiny_bert: Path, words: str, exit_code: int, code: str, parts: tuple[str, ...]
) -> None:
    if "prepare tokens" in words:
        assert cli(f"data prepare corpus.txt -m {tiny_bert} -o tokens -q").code == 0
    done = cli(words.format(bert=tiny_bert))
    assert done.code == exit_code and f"error[{code}]" in done.err, done.err
    assert all(part in done.err for part in parts), done.err
    assert done.out == "" and not Path("x").exists()


@pytest.mark.usefixtures("text")
def test_stats_of_text_are_in_characters(cli: Cli) -> None:
    found = cli("data stats corpus.txt --json").json
    assert found["unit"] == "characters" and found["documents"]["count"] == 3
    assert found["sentences"]["count"] == 6 and found["documents"]["min"] == 2
    shown = cli("data stats corpus.txt")
    assert shown.code == 0 and "length in characters" in shown.out and "files" in shown.out


@pytest.mark.usefixtures("text")
def test_stats_of_tokens_tell_the_share_of_unknown_ones(cli: Cli, tiny_bert: Path) -> None:
    Path("corpus.txt").write_text("the film 电 is good\n")
    assert cli(f"data prepare corpus.txt -m {tiny_bert} -o tokens -q").code == 0
    found = cli("data stats tokens --json").json
    assert (found["unit"], found["tokens"], found["unknown"]) == ("tokens", 5, 0.2)
    shown = cli("data stats tokens")
    assert "20.000% of the tokens" in shown.out and "length in tokens" in shown.out
