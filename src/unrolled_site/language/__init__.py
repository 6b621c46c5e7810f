"""A language model from nothing: characters in, the next character out.

In the order of reading: `data`, the text as numbers; `ngram`, the model that counts; `model`, the
network; `checkpoint`, the file that a run goes on from; `training`, which can be stopped.
``python -m unrolled_site.language`` trains longer than a page can, and samples.
"""

from unrolled_site.language.checkpoint import Settings
from unrolled_site.language.data import (
    Parts,
    Vocabulary,
    features,
    northanger_abbey,
    read_text,
    split,
    streams,
)
from unrolled_site.language.model import (
    LanguageModel,
    bits_per_character,
    correlations,
    sample,
    write,
)
from unrolled_site.language.ngram import NGram
from unrolled_site.language.training import Training, load_model, load_settings

__all__ = [
    "LanguageModel",
    "NGram",
    "Parts",
    "Settings",
    "Training",
    "Vocabulary",
    "bits_per_character",
    "correlations",
    "features",
    "load_model",
    "load_settings",
    "northanger_abbey",
    "read_text",
    "sample",
    "split",
    "streams",
    "write",
]
