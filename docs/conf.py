"""How the site is built. Pages have nothing to configure; what is unusual here says why."""

import gc
import hashlib
import json
import os
import sys
import tomllib
from pathlib import Path

from jupyter_client.manager import KernelManager
from sphinx.application import Sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(DOCS / "_ext"))

# The trees of pages are full of cycles, and live as long as the build: half of its time would go
# into looking, again and again, for some that could be freed.
gc.disable()
# Before torch is imported, here and in the kernels, which inherit it: with one thread sums are
# made in one order, so that two builds print the same digits.
os.environ["OMP_NUM_THREADS"] = "1"
# Kernels warn of unencrypted sockets on every start; with encryption they have no reason to.
KernelManager.transport_encryption.default_value = "auto"

import torch  # noqa: E402 - after OMP_NUM_THREADS

from unrolled import shapes  # noqa: E402 - after OMP_NUM_THREADS
from unrolled_site import example  # noqa: E402 - after OMP_NUM_THREADS
from unrolled_site.figures import palette  # noqa: E402 - after OMP_NUM_THREADS

# -- Project --------------------------------------------------------------------------------------

project = "Unrolled"
author = "the Unrolled contributors"
project_copyright = f"2026, {author}"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "version"
]
language = "en"
# Where the site is for good; Read the Docs says where it puts its own.
html_baseurl = os.environ.get(
    "READTHEDOCS_CANONICAL_URL", "https://unrolled-rnn.github.io/unrolled/"
)

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_exercise",
    "api_names",
    "book",
    "build_report",
    "fair_shares",
    "hosting",
    "incremental",
    "katex_build",
    "kernel_ports",
    "laboratory",
    "moved",
    "page_repairs",
    "page_weight",
    "shared_cache",
    "site_search",
    "take_away",
    "teaching",
    "warm_kernels",
]
moved = json.loads((DOCS / "_data" / "moved.json").read_text("utf-8"))
exclude_patterns = ["_build", "_data", "_ext", "_icons", "_inventories", "_scripts", "_static"]
templates_path = ["_templates"]
nitpicky = True
# Single backticks in docstrings are a link where there is something to link to, and code elsewhere
# (argument names, modules). Explicit roles and inherited classes stay checked.
default_role = "py:obj"
nitpick_ignore_regex = [("py:obj", r".*")]
# No typographic quotes and dashes: they would reach shapes, options and code in prose.
smartquotes = False

# -- Pages and their cells ------------------------------------------------------------------------

myst_enable_extensions = [
    "amsmath",
    "attrs_block",
    "attrs_inline",
    "colon_fence",
    "deflist",
    "dollarmath",
    "substitution",
]
myst_heading_anchors = 3


def _code(value: object) -> str:
    return f"`{value}`"


N, L, H_in, H_out = example.N, example.L, example.H_in, example.H_out
_parameters = shapes.parameter_shapes("RNN_TANH", H_in, H_out)
myst_substitutions = {
    "N": _code(N),
    "L": _code(L),
    "H_in": _code(H_in),
    "H_out": _code(H_out),
    "n": N,  # in a sentence, where a size is a count
    "l": L,
    "h_in": H_in,
    "h_out": H_out,
    "x_shape": _code((N, L, H_in)),
    "h_0_shape": _code((1, N, H_out)),
    "weight_ih_shape": _code(_parameters["weight_ih_l0"]),
    "weight_hh_shape": _code(_parameters["weight_hh_l0"]),
    "bias_shape": _code(_parameters["bias_ih_l0"]),
    "output_shape": _code((N, L, H_out)),
    "h_n_shape": _code((1, N, H_out)),
    "parameter_count": _code(shapes.parameter_count("RNN_TANH", H_in, H_out)),
    "torch_version": _code(torch.__version__.partition("+")[0]),
    "unrolled_version": _code(version),
}


def _hash(*paths: Path) -> str:
    """Hash files and folders, and the versions of what runs them."""
    key = hashlib.sha256(f"{sys.version}{torch.__version__}".encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                key.update(f"{file.relative_to(ROOT)} {file.stat().st_size} ".encode())
                key.update(file.read_bytes())
    return key.hexdigest()[:16]


# What cells depend on but jupyter-cache does not look at: it compares cells only.
_cells_key = _hash(ROOT / "constraints.txt", ROOT / "src", DOCS / "_ext", DOCS / "_data")
# What pages depend on but Sphinx does not look at: when it changes, all are read again.
_pages_key = _hash(
    *(DOCS / "conf.py", DOCS / "_data", DOCS / "_inventories"),
    *(DOCS / "_lab", DOCS / "_static" / "vendor"),
)

nb_code_prompt_show = "Show the {type}"
nb_execution_mode = "force" if os.environ.get("CI") else "cache"
nb_execution_cache_path = str(DOCS / "_build" / ".jupyter_cache" / _cells_key)
nb_execution_raise_on_error = False  # build_report stops the build when all pages are executed
nb_execution_show_tb = True
nb_execution_timeout = 600
nb_merge_streams = True
nb_output_stderr = "error"  # a Python warning in a cell is a warning of the build
nb_render_text_lexer = "none"  # output of a cell is not ANSI coloured
nb_render_markdown_format = "myst"  # tables and formulas in the output of a cell, as on a page
exercise_style = "solution_follow_exercise"
copybutton_exclude = ".linenos, .gp, .go"

# -- API reference --------------------------------------------------------------------------------

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # not their values, such as a folder of the machine
autodoc_typehints = "none"  # the docstrings say the types, with their shapes
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
# Small inventories written by hand, in Sphinx's plain text format, so that no build needs the
# network. An object that a docstring refers to and that is not listed is a warning.
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", "_inventories/python.inv"),
    "numpy": ("https://numpy.org/doc/stable", "_inventories/numpy.inv"),
    "torch": ("https://docs.pytorch.org/docs/stable", "_inventories/torch.inv"),
}

# -- The EPUB, see `nox -s bundle` ----------------------------------------------------------------

epub_title = "Unrolled: PyTorch's recurrent module, taken apart and put back together"
epub_identifier = html_baseurl
epub_scheme = "URL"
epub_uid = "unrolled"
epub_contributor = author
epub_description = (
    "PyTorch's recurrent module, taken apart and put back together: "
    "every shape, every number, every claim executed."
)
epub_show_urls = "no"  # a device follows links
epub_use_index = False

# -- Look -----------------------------------------------------------------------------------------

html_theme = "sphinx_book_theme"
html_title = "Unrolled"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["tokens.css", "site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_copy_source = True
html_show_sphinx = False
html_last_updated_fmt = None  # a build on another day is the same build
html_sidebars = {"**": ["site-head", "sbt-sidebar-nav"]}  # no logo file: see site-head.html
html_context = {"default_mode": "auto"}  # else the theme complains in the console
html_theme_options = {
    "repository_url": "https://github.com/unrolled-rnn/unrolled",
    "repository_provider": "github",
    "repository_branch": "main",
    "path_to_docs": "docs",
    "use_repository_button": False,
    "use_fullscreen_button": False,
    "use_download_button": False,  # see take_away.py
    "home_page_in_toc": False,
    "show_navbar_depth": 2,
    "navbar_persistent": [],  # the search field of the side bar is enough
    "back_to_top_button": False,
    "toc_title": "On this page",
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-dark",  # the default shouts comments, here the shapes
    "footer_content_items": ["copyright", "extra-footer"],
    "extra_footer": f"Every cell executed with PyTorch {torch.__version__.partition('+')[0]}.",
}


def write_tokens(app: Sphinx) -> None:
    """Write the colours of symbols, which the figures define, as a style sheet."""
    if app.builder.format == "html":
        path = Path(app.outdir) / "_static" / "tokens.css"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(palette.stylesheet(), "utf-8")


def without_field(app: Sphinx, what: str, name: str, obj: object, *_: object) -> bool | None:
    """Leave out a field of a named tuple: the docstring describes it, Python only counts it."""
    return True if str(obj.__doc__).startswith("Alias for field number ") else None


def setup(app: Sphinx) -> None:
    app.add_config_value("pages_key", _pages_key, "env")
    app.connect("autodoc-skip-member", without_field)
    app.connect("builder-inited", write_tokens)
