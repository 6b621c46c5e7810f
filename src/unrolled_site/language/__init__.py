"""A language model from scratch: characters in, the next character out.

In reading order: `data`, the text as numbers; `ngram`, a model that counts; `model`, the network;
`checkpoint`, the file from which a run resumes; `training`, which can be stopped at any time.
``python -m unrolled_site.language`` trains for longer than a page can, and samples.
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
