"""Toy data in the places of the real ones, so that every case can be tried anywhere: what comes out may not be quoted.

All are made of the toy world's sentences. Things and people are its entities; questions ask who, which not every
context tells.
"""

import gzip
import json
from collections.abc import Sequence
from itertools import batched, chain, islice
from pathlib import Path

from benchmarks.mlm import DOCUMENTS
from benchmarks.questions import QUESTIONS
from bert_cli.toyworld import Sizes, documents, sentiment_splits
from bert_cli.toyworld.words import MEN, WOMEN
