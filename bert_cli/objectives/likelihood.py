"""How likely a masked language model finds a sentence: its pseudo-log-likelihood (Salazar et al. 2020).

Each token is masked once, and the log-probabilities of the originals under the rest of the sentence are added up. The
copies of sentences of one length go through the model together, so there is no padding; copies that are equal, as those
of two sentences that differ in the masked token alone (4 % of BLiMP's), go through it once. Neither changes a score
beyond rounding. Costs one forward pass over every other copy, with logits at one position of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import torch

from bert_cli.errors import NonFiniteError
from bert_cli.runtime import Runtime

LOGITS = 1 << 26
"""Most logits of one forward pass; 256 MiB, which only vocabularies beyond 100,000 tokens come near."""
CHUNK = 2048


@dataclass(frozen=True)
class Sentence:
    """A sentence as token ids, and what is masked of it.

    Attributes:
        ids: with the special tokens around. Shape: `[L]`.
        places: the tokens that are scored, each in a copy of its own. Shape: `[K]`.
        stops: the copy of `places[k]` is masked from there to before `stops[k]`. Shape: `[K]`.
    """

    ids: np.ndarray
    places: np.ndarray
    stops: np.ndarray

    def only(self, places: np.ndarray) -> Sentence:
        """The same sentence with those of its scored tokens that are among `places`."""
        kept = np.isin(self.places, places)
        return replace(self, places=self.places[kept], stops=self.stops[kept])


def encode_sentences(tokenizer: Any, texts: Sequence[str], *, whole_words: bool = False) -> Iterator[Sentence]:
    """Sentences of which every token but the special ones around is scored; nothing is cut.

    Args:
        whole_words: with each token, mask the rest of its word too (PLL-word-l2r, Kauf & Ivanova 2023), so that the
            later parts of a rare word do not give the earlier ones away. Words are the tokenizer's; it must be a fast
            one.
    """
    for start in range(0, len(texts), CHUNK):
        encoded = tokenizer(
            list(texts[start : start + CHUNK]),
            return_special_tokens_mask=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        for i, (ids, special) in enumerate(zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True)):
            places = np.flatnonzero(np.array(special) == 0)
            stops = _word_ends(encoded.word_ids(i))[places] if whole_words else places + 1
            yield Sentence(np.array(ids, dtype=np.int32), places, stops)


def _word_ends(words: Sequence[int | None]) -> np.ndarray:
    """Where the word of each token ends. Shape: `[L]`."""
    ends = np.arange(1, len(words) + 1)
    for i in range(len(words) - 2, -1, -1):
        if words[i] is not None and words[i] == words[i + 1]:
            ends[i] = ends[i + 1]
    return ends


def shared_places(ids: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of the tokens that stand in both of two sentences, in order, as difflib aligns them (Nangia et al. 2020).

    Shapes: `[L]`, `[L']` to two of `[K]`.
    """
    blocks = SequenceMatcher(None, ids.tolist(), other.tolist(), autojunk=False).get_matching_blocks()
    pairs = [(block.a + i, block.b + i) for block in blocks for i in range(block.size)]
    here, there = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return here, there


def pseudo_log_likelihoods(
    model: Any,
    sentences: Sequence[Sentence],
    *,
    mask_token_id: int,
    runtime: Runtime,
    max_tokens: int,
    progress: Callable[[float], None] = lambda share: None,
) -> np.ndarray:
    """The sum of the log-probabilities of each sentence's scored tokens, nats. Shape: `[S]` float64.

    Args:
        model: any with a head for masked words; its mode is put back afterwards.
        max_tokens: most tokens of one forward pass.
        progress: told the share of the work that is done after each forward pass.

    Raises:
        NonFiniteError: a log-probability is not a number (N002).
    """
    was_training = model.training
    model.eval()
    lengths = np.array([len(sentence.ids) for sentence in sentences])
    work = np.array([len(sentence.ids) * len(sentence.places) for sentence in sentences])
    scores, done = np.zeros(len(sentences)), 0
    most = LOGITS // model.get_input_embeddings().num_embeddings
    with torch.inference_mode():
        # Longest first: memory peaks at once and not minutes later.
        for length in np.unique(lengths)[::-1]:
            members = np.flatnonzero((lengths == length) & (work > 0))
            copies = _masked_copies([sentences[int(i)] for i in members], mask_token_id)
            for part in copies.split(max(1, min(max_tokens // int(length), most))):
                found = _log_probabilities(model, part, runtime)
                np.add.at(scores, members[part.owners], found)
                done += int(length) * len(found)
                progress(done / work.sum())
    model.train(was_training)
    if not np.isfinite(scores).all():
        raise NonFiniteError(
            "N002",
            "the model's log-probabilities are not all finite numbers",
            found=f"{int((~np.isfinite(scores)).sum())} of {len(scores)} sentences",
            allowed="finite log-probabilities",
            help="train.precision=fp32 tells whether the arithmetic or the model is at fault",
        )
    return scores


@dataclass(frozen=True)
class _Copies:
    """Masked copies of sentences of one length, no two alike, and what is asked of them.

    Attributes:
        ids: shape `[U, L]`; places: where each is read, `[U]`.
        asked: the copy of each question, ascending; targets: the token whose log-probability it asks for; owners: the
            sentence that it belongs to. Shape of each: `[Q]`.
    """

    ids: np.ndarray
    places: np.ndarray
    asked: np.ndarray
    targets: np.ndarray
    owners: np.ndarray

    def split(self, size: int) -> Iterator[_Copies]:
        """Parts of at most `size` copies, with their questions."""
        for start in range(0, len(self.ids), size):
            copies = slice(start, start + size)
            questions = slice(*np.searchsorted(self.asked, [start, start + size]))
            yield _Copies(
                self.ids[copies],
                self.places[copies],
                self.asked[questions] - start,
                self.targets[questions],
                self.owners[questions],
            )


def _masked_copies(sentences: Sequence[Sentence], mask_token_id: int) -> _Copies:
    """One copy for each scored token of sentences of equal length; equal copies become one."""
    if not sentences:
        nothing = np.zeros(0, dtype=np.int64)
        return _Copies(np.zeros((0, 0), dtype=np.int32), nothing, nothing, nothing, nothing)
    owners = np.repeat(np.arange(len(sentences)), [len(sentence.places) for sentence in sentences])
    places = np.concatenate([sentence.places for sentence in sentences])
    stops = np.concatenate([sentence.stops for sentence in sentences])
    ids = np.stack([sentence.ids for sentence in sentences])[owners]
    targets = ids[np.arange(len(ids)), places]
    column = np.arange(ids.shape[1])
    ids[(column >= places[:, None]) & (column < stops[:, None])] = mask_token_id
    # A text may hold mask tokens of its own, so the place belongs to what tells copies apart.
    keys = np.ascontiguousarray(np.concatenate([ids, places[:, None].astype(ids.dtype)], axis=1))
    rows = keys.view(np.dtype((np.void, keys.itemsize * keys.shape[1]))).ravel()
    _, first, asked = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(asked, kind="stable")
    return _Copies(ids[first], places[first], asked[order], targets[order], owners[order])


def _log_probabilities(model: Any, copies: _Copies, runtime: Runtime) -> np.ndarray:
    """The log-probability of each question's token, nats. Shape: `[Q]` float32."""
    device = runtime.device
    ids = torch.from_numpy(copies.ids.astype(np.int64)).to(device)
    places = torch.from_numpy(copies.places).to(device)
    asked, targets = (torch.from_numpy(a.astype(np.int64)).to(device) for a in (copies.asked, copies.targets))
    logits = _logits_at(model, ids, places, runtime)
    found = logits[asked, targets] - logits.logsumexp(-1)[asked]
    answer: np.ndarray = found.cpu().numpy()
    return answer


def _logits_at(model: Any, ids: torch.Tensor, places: torch.Tensor, runtime: Runtime) -> torch.Tensor:
    """Logits at one place of each row, fp32. Shapes: `[B, L]`, `[B]` to `[B, V]`.

    Hidden states are narrowed between encoder and head, so every family's own head serves unchanged. The head runs in
    fp32, because bf16 keeps 8 bits of a logit: too few to compare sentences that are about equally likely.
    """

    def narrow(_module: Any, _inputs: Any, outputs: Any) -> Any:
        outputs["last_hidden_state"] = outputs[0][torch.arange(len(places)), places].unsqueeze(1).float()
        # The region of lower precision ends here; leaving it puts back what was before.
        torch.set_autocast_enabled(runtime.device_type, False)
        return outputs

    handle = model.base_model.register_forward_hook(narrow)
    try:
        with runtime.autocast():
            logits: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    finally:
        handle.remove()
    return logits.squeeze(1).float()
