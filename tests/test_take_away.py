"""What readers take away: a page of everything that pages use, in its other forms."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
CONF = """
import os, sys
folder = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, EXTENSIONS)
project, version, master_doc = "Unrolled", "0.1.0", "index"
extensions = ["myst_nb", "sphinx_design", "sphinx_exercise", "katex_build", "laboratory",
              "page_repairs", "shared_cache", "teaching", "take_away"]
html_theme = "basic"
html_context = {"github_user": "some", "github_repo": "where"}
smartquotes = False
html_baseurl = "https://example.org/site/"
epub_description = "A site."
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "substitution"]
myst_substitutions = {"n": 3}
myst_heading_anchors = 3
nb_execution_mode, nb_execution_cache_path = "cache", f"{folder}/_build/cache"
nb_execution_raise_on_error, nb_execution_timeout = True, 600
nb_render_markdown_format = "myst"
exercise_style = "solution_follow_exercise"
del os, sys
"""
HEAD = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

"""
INDEX = """(start)=
# Start

Here it begins.

```{toctree}
:caption: Part one
sub/page
```

::::{grid} 1 1 2 2
:::{grid-item-card} The page
:link: sub/page
:link-type: doc
What it *shows*.
:::
::::
"""
PAGE = r"""```{index} ! a word
```

(page)=
# The *page*

A sentence with {glue:text}`five:.2f`, {{ n }} and $\act{\tanh}(\xt \Whh^\top)$.
The second sentence goes to {ref}`start`, to {ref}`the end <page-end>`, to {doc}`../index` and to [Python](https://python.org).

```{opening}
:able: read it
:needs: {ref}`start`
```

```{code-cell} ipython3
:tags: [remove-input]
from unrolled_site.figures import Figure
Figure("A line", "It is < 3.", '<path d="M0 0h9"/>', 10).captioned("Below it.")
```

```{code-cell} ipython3
:tags: [remove-cell]
from myst_nb import glue

five = 5
glue("five", five, display=False)
```

```{code-cell} ipython3
:tags: [remove-cell]
glue(
    "five again",
    five,
)
```

```{code-cell} ipython3
for number in range(2):
    print("number", number)
assert five == 5
```

:::{alive} step
:state: mode=LSTM
Play with it
:::

```{code-cell} ipython3
from IPython.display import HTML, Markdown
Markdown("| a | b |\n| --- | --- |\n| {ref}`start` | $\\ht$ |")
```

```{code-cell} ipython3
HTML('<script type="application/json">{}</script>')
```

:::{note}
Remember *this*:

- one `a|b`
- two
:::

| `a\|b` | head |
| --- | --- |
| $\gate{i}$ | x |

Term
: its meaning

$$
\ht = \gate{f} \odot\hprev
$$

1. first
2. second

   still second

```python
code = "shown, not run"  # {ref}`x`
```

```{raw} html
<unrolled-step></unrolled-step>
```

```{exercise-start} With a pencil
:label: one
```
Do it.
```{exercise-end}
```

````{solution-start} one
:class: dropdown
````
Done:

```{code-cell} ipython3
print("solved")
```
````{solution-end}
````

```{dropdown} More of it
Inside.
```

(page-end)=
## The end

A star \*, a_b, an $x_i$ and 3 < 4.
"""


def build(folder: Path) -> str:
    command = (sys.executable, "-m", "sphinx", "-q", "-n", "-W", "--keep-going", "-E", "-a")
    run = subprocess.run(
        [*command, str(folder), str(folder / "_build/html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "sub").mkdir()
    extensions = f"EXTENSIONS = {str(ROOT / 'docs/_ext')!r}"
    (folder / "conf.py").write_text(extensions + CONF, "utf-8")
    (folder / "index.md").write_text(INDEX, "utf-8")
    (folder / "sub/page.md").write_text(HEAD + PAGE, "utf-8")
    build(folder)
    return folder / "_build/html"


@pytest.fixture(scope="module")
def markdown(site: Path) -> str:
    return (site / "sub/page.md").read_text("utf-8")


@pytest.fixture(scope="module")
def notebook(site: Path) -> Any:
    return nbformat.read(site / "notebooks/sub/page.ipynb", as_version=4)  # type: ignore[no-untyped-call]  # no types


def test_roles_substitutions_and_glue_are_text(markdown: str) -> None:
    assert markdown.startswith(
        "# The *page*\n\nA sentence with 5.00, 3 and $\\tanh(x_t W_{hh}^\\top)$.\n"
    )
    assert (
        "goes to [Start](https://example.org/site/index.html#start), "
        "to [the end](https://example.org/site/sub/page.html#page-end), "
        "to [Start](https://example.org/site/index.html) and to [Python](https://python.org).\n"
    ) in markdown
    assert "**You need** [Start](https://example.org/site/index.html#start)." in markdown
    assert "**Time** 1 minute." in markdown


def test_blocks_are_plain_markdown(markdown: str) -> None:
    assert "> **Note**\n>\n> Remember *this*:\n>\n> - one `a|b`\n> - two" in markdown
    assert "| `a\\|b` | head |\n| --- | --- |\n| $i_t$ | x |" in markdown
    assert "- **Term**: its meaning" in markdown
    assert "$$\nh_t = f_t \\odot h_{t-1}\n$$" in markdown
    assert "1. first\n2. second\n\n   still second" in markdown
    assert '```python\ncode = "shown, not run"  # {ref}`x`\n```' in markdown
    assert "[open it on the site](https://example.org/site/sub/page.html)" in markdown
    assert "**Exercise 1 (With a pencil)**\n\nDo it.\n\n**Solution**\n\nDone:" in markdown
    assert "**More of it**\n\nInside." in markdown
    assert "A star \\*, a_b, an $x_i$ and 3 \\< 4." in markdown


def test_cells_come_with_their_outputs(markdown: str) -> None:
    assert "> **Figure: A line.** It is \\< 3. Below it." in markdown
    assert "assert five == 5\n```\n\n```text\nnumber 0\nnumber 1\n```" in markdown
    assert (
        "| a | b |\n| --- | --- |\n| [Start](https://example.org/site/index.html#start) | $h_t$ |"
        in markdown
    )
    assert '```python\nprint("solved")\n```\n\n```text\nsolved\n```' in markdown
    for absent in ("Figure(", "five = 5", "u-alive", 'application/json">{}</script>\n'):
        assert absent not in markdown


def test_a_card_is_a_line_of_a_list(site: Path) -> None:
    text = (site / "index.md").read_text("utf-8")
    assert "- [The page](https://example.org/site/sub/page.html): What it *shows*." in text
    assert not (site / "notebooks/index.ipynb").exists()


def test_a_notebook_brings_what_it_needs(notebook: Any) -> None:
    nbformat.validate(notebook)
    note, setup, *_ = notebook["cells"]
    assert note["source"].startswith("This page is from [Unrolled](https://example.org/site/sub/")
    assert '%pip install --quiet "unrolled[pages]==0.1.0"' in setup["source"]
    code = [cell["source"] for cell in notebook["cells"][2:] if cell["cell_type"] == "code"]
    assert "five = 5" in code  # the cell is hidden on the page, and the others need it
    assert not [source for source in code if re.search(r"\bglue\b", source)]


def test_a_notebook_keeps_what_is_hidden_hidden(notebook: Any) -> None:
    hidden = {
        cell["source"].partition("\n")[0]
        for cell in notebook["cells"]
        if cell["metadata"].get("jupyter", {}).get("source_hidden")
    }
    assert hidden == {"from unrolled_site.figures import Figure", "five = 5"}


def test_outputs_in_a_notebook_show_anywhere(notebook: Any) -> None:
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    figure, printed, table, solved = outputs
    assert figure["data"]["text/html"].startswith('<figure><img alt="A line. It is &lt; 3" src=')
    assert printed["text"] == "number 0\nnumber 1\n"
    assert "| [Start](https://example.org" in table["data"]["text/markdown"]
    assert solved["text"] == "solved\n"


def test_a_page_says_where_its_markdown_is(site: Path) -> None:
    html = (site / "sub/page.html").read_text("utf-8")
    assert '<link rel="alternate" type="text/markdown" href="../sub/page.md">' in html
    assert (site / "notebooks/requirements.txt").read_text("utf-8") == "unrolled[pages]==0.1.0\n"


def test_a_script_is_python_with_its_prose(site: Path) -> None:
    text = (site / "notebooks/sub/page.py").read_text("utf-8")
    compile(text, "page.py", "exec")
    assert "# # The *page*\n" in text
    assert '# This needs: python -m pip install "unrolled[pages]==0.1.0"' in text
    assert "%pip" not in text
    assert 'print("solved")' in text


def test_outputs_from_the_cache_are_the_same(site: Path, notebook: Any) -> None:
    files = sorted((site / "notebooks").rglob("*.*")) + sorted(site.rglob("*.md"))
    before = [file.read_bytes() for file in files]
    build(site.parents[1])
    assert [file.read_bytes() for file in files] == before


def test_assistants_find_every_page(site: Path) -> None:
    assert (site / "llms.txt").read_text("utf-8").splitlines()[:3] == [
        "# Unrolled",
        "",
        "> A site.",
    ]
    listed = (site / "llms.txt").read_text("utf-8")
    assert "## Start\n\n- [Start](https://example.org/site/index.md): Here it begins.\n" in listed
    assert "## Part one\n\n- [The page](https://example.org/site/sub/page.md): A sentence" in listed
    whole = (site / "llms-full.txt").read_text("utf-8")
    assert whole.index("# Start") < whole.index("# The *page*")


def test_a_cell_that_is_not_shown_may_not_warn(site: Path) -> None:
    page = site.parents[1] / "sub/page.md"
    text = page.read_text("utf-8")  # the last test, for the site is built anew
    hidden = "```{code-cell} ipython3\n:tags: [remove-cell]\n"
    assert hidden in text
    shouting = f"{hidden}import sys; print('planted', file=sys.stderr)\n"
    page.write_text(text.replace(hidden, shouting), "utf-8")
    try:
        with pytest.raises(AssertionError, match="a cell that is not shown warns: planted"):
            build(site.parents[1])
    finally:
        page.write_text(text, "utf-8")
