"""TP005."""

from collections.abc import Iterator

from strategy.legality import VOCAB_PAD, legal_tp_sizes, padded_vocab, vocab_divides
from strategy.strategy import Pool
from validators.choices import engine_of, gpus_of, listed
from validators.examples_moe import LLAMA_8B, asked, named, planned, with_model
from validators.registry import Hit, rule
from validators.subject import Subject

_ODD_VOCABULARY = LLAMA_8B.model_copy(
    update={
        "vocab_size": 151_552,
        "intermediate_size": 12_288,
        "attention": LLAMA_8B.attention.model_copy(update={"num_heads": 96}),
    }
)
_ON_VLLM = asked(_ODD_VOCABULARY, hosts=3, engine="vllm")


@rule(
    code="TP005",
    stage="strategy",
    severity="warning",
    message="a vocabulary of {vocab} rows, padded to {padded}, does not split over {ways} ranks",
    hint="split it over one of {choices} ranks, or pad the vocabulary to {enough} rows",
    sources=(
        "vllm: model_executor/layers/vocab_parallel_embedding.py:286-305",
        "sglang: layers/vocab_parallel_embedding.py:272-275",
    ),
    knowledge="tensor-parallelism.md#vocabulary-padding",
    requires=frozenset({"TP001", "TP002", "TP004"}),
    passes=lambda: named("128256 rows over 8 ranks", lambda: planned(LLAMA_8B, tp=8)),
    fails=lambda: named(
        "151552 rows over 24 ranks",
        lambda: with_model(planned(LLAMA_8B, _ON_VLLM, tp=24), _ODD_VOCABULARY),
    ),
)
def uneven_vocabulary(subject: Subject) -> Iterator[Hit]:
    """Embedding and head are split by rows of the padded vocabulary; vLLM pads to 64 and refuses the rest, others pad further."""
    engine, vocab = engine_of(subject), subject.model.vocab_size
    for path, pool in subject.pools():
        for ways in _vocabulary_splits(pool):
            if vocab_divides(subject.model, ways, engine or "vllm") or engine in ("sglang", "trtllm"):
                continue
            yield Hit(
                f"{path}/attention/tp_size",
                severity="error" if engine == "vllm" else "warning",
                vocab=vocab,
                padded=padded_vocab(vocab, ways, "vllm"),
                ways=ways,
                choices=listed(legal_tp_sizes(subject.model, gpus_of(subject))),
                enough=-(-vocab // (VOCAB_PAD * ways)) * VOCAB_PAD * ways,
            )


def _vocabulary_splits(pool: Pool) -> set[int]:
    """Ranks that split the embedding (always tp) and the head (tp, or the stage when gathered)."""
    return {pool.attention.tp_size, pool.width if pool.lm_head == "gathered" else pool.attention.tp_size}
