"""A language model from nothing: characters in, the next character out.

In the order of reading: `data`, the text as numbers; `ngram`, the model that counts; `model`, the
network; `training`, which can be stopped and goes on. ``python -m unrolled_site.language`` trains
longer than a page can, and samples.
"""

from unrolled_site.language.data import (
    Parts,
    Vocabulary,
    features,
    northanger_abbey,
    split,
    streams,
)
from unrolled_site.language.model import LanguageModel, bits_per_character, correlations, sample
from unrolled_site.language.ngram import NGram
from unrolled_site.language.training import Settings, Training, load_model, load_settings

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
    "sample",
    "split",
    "streams",
]
