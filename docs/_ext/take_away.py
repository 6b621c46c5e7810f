"""Take a page with you: as a notebook, as a script, as Markdown; all pages for an assistant.

While the site is built, each page with cells is also written as ``notebooks/PAGE.ipynb`` and
``notebooks/PAGE.py``, and every page as ``PAGE.md``, with the outputs that the build has computed.
They need nothing of the repository: prose is plain Markdown, links lead to the hosted site, and the
first cell installs the package where it is missing. ``llms.txt`` lists the pages for assistants,
``llms-full.txt`` holds them all.

Colab and Binder open notebooks from a branch, ``notebooks``, which the workflow of the hosted site
writes: the folder ``notebooks`` of the site as it is.
"""

import ast
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jupytext  # type: ignore[import-untyped]  # it has no types
import nbformat
from docutils import nodes
from page_repairs import join_streams
from plain_markdown import Cell, Page, described, fenced
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata

from unrolled_site.figures import image

logger = logging.getLogger(__name__)

FOLDER = "notebooks"
BRANCH = "notebooks"
TORCH = metadata.version("torch").partition("+")[0]
# What pages import besides the package and what it needs: the extra `pages` of pyproject.toml.
NEEDED = ("unrolled", "matplotlib", "onnxruntime", "onnxscript")

INSTALL = """\
# Installs what this page needs where it is missing, as on Colab.
import os
from importlib.util import find_spec

os.environ.setdefault("OMP_NUM_THREADS", "1")  # sums in one order: the digits of the page
if not all(find_spec(name) for name in {needed}):
    %pip install --quiet "unrolled[pages]=={version}"

from unrolled_site import figures

figures.as_images()  # they bring their colours, which on the site come from its style sheet
"""
# The same for a script, which shows no figures.
REQUIRE = """\
# This needs: python -m pip install "unrolled[pages]=={version}"
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # sums in one order: the digits of the page
"""


# -- Cells ----------------------------------------------------------------------------------------


def _keeps(statement: ast.stmt) -> bool:
    """Say whether a statement is of use outside the site: glue puts numbers into its prose."""
    match statement:
        case ast.ImportFrom(module="myst_nb"):
            return False
        case ast.Expr(value=ast.Call(func=ast.Name(id="glue"))):
            return False
    return True


def without_glue(source: str) -> str:
    """Leave out what gives numbers to the prose, which has them already.

    Parameters
    ----------
    source : str
        Code of a cell.

    Returns
    -------
    str
        The same lines without those; empty if nothing is left.
    """
    if "glue" not in source:
        return source
    lines: list[str | None] = list(source.splitlines())
    for statement in ast.parse(source).body:
        if not _keeps(statement):
            for number in range(statement.lineno - 1, statement.end_lineno or 0):
                lines[number] = None
    kept = "\n".join(line for line in lines if line is not None)
    return re.sub(r"\n{3,}", "\n\n", kept).strip("\n")


def outputs(cell: Any, markdown: str) -> Iterator[Any]:
    """Give the outputs of a cell as they look well in any notebook."""
    for output in join_streams(cell["outputs"]):
        data = output.get("data", {})
        html = data.get("text/html", "")
        if "<script" in html:
            continue  # data for a tool of the site
        output = nbformat.from_dict(output)  # type: ignore[no-untyped-call]  # no types
        if "<svg" in html:
            output["data"] = {"text/html": image(html), "text/plain": described(html)[2:]}
        elif "text/markdown" in data:
            if not markdown:
                continue  # it is part of the one before
            output["data"] = {"text/markdown": markdown, "text/plain": data["text/plain"]}
            markdown = ""
        yield output


def _code_cell(cell: Any, markdown: str) -> Any | None:
    source = without_glue(cell["source"])
    if not source:
        return None
    made: Any = nbformat.v4.new_code_cell(  # type: ignore[no-untyped-call]  # no types
        source, outputs=list(outputs(cell, markdown)), execution_count=cell["execution_count"]
    )
    tags = cell["metadata"].get("tags", [])
    if tags:
        made["metadata"]["tags"] = tags
    if {"remove-input", "remove-cell"} & set(tags):
        made["metadata"]["jupyter"] = {"source_hidden": True}  # JupyterLab folds it
        made["metadata"]["cellView"] = "form"  # and Colab
    return made


def _hidden(cells: list[Any], start: int, stop: int) -> Iterator[Cell]:
    """Give the cells that the page does not show, where they run."""
    for index in range(start, stop):
        if cells[index]["cell_type"] == "code":
            yield Cell(index, "")


def in_order(page: Page, cells: list[Any]) -> Iterator[str | Cell]:
    """Put cells that the page does not show between those that it does."""
    done = 0
    for part in page.parts:
        if isinstance(part, Cell):
            yield from _hidden(cells, done, part.place)
            done = part.place + 1
        yield part
    yield from _hidden(cells, done, len(cells))


# -- The forms of a page --------------------------------------------------------------------------


def notebook(page: Page, executed: Any, note: str, version: str) -> Any:
    """Write a page as a notebook.

    Parameters
    ----------
    page : Page
        Its text, and where its cells are.
    executed : nbformat.NotebookNode
        The cells, as the build ran them.
    note : str
        Where the page is from.
    version : str
        Of the package that the notebook needs.

    Returns
    -------
    nbformat.NotebookNode
        The notebook, the same in every build.
    """
    v4: Any = nbformat.v4
    install = INSTALL.format(needed=NEEDED, version=version)
    cells = [v4.new_markdown_cell(note), v4.new_code_cell(install.strip())]
    for part in in_order(page, executed["cells"]):
        if isinstance(part, str):
            cells.append(v4.new_markdown_cell(part))
        elif (made := _code_cell(executed["cells"][part.place], part.markdown)) is not None:
            cells.append(made)
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    language = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": language})


def script(made: Any, version: str) -> str:
    """Write a notebook as a script: prose as comments, cells apart."""
    bare: Any = nbformat.from_dict(made)  # type: ignore[no-untyped-call]  # no types
    bare["cells"][1]["source"] = REQUIRE.format(version=version).strip()
    bare["metadata"]["jupytext"] = {
        "cell_metadata_filter": "-all",
        "notebook_metadata_filter": "-all",
    }
    return str(jupytext.writes(bare, fmt="py:percent"))


def _shown(output: Any) -> str:
    """Write an output as Markdown."""
    data = output.get("data", {})
    if "text/markdown" in data:
        return str(data["text/markdown"])
    if "<img" in data.get("text/html", ""):
        return f"> {data['text/plain']}"
    return fenced(output.get("text") or data["text/plain"], "text")


def markdown(page: Page, executed: Any, note: str) -> str:
    """Write a page as Markdown, with code and outputs."""
    blocks: list[str] = []
    for part in page.parts:
        if isinstance(part, str):
            blocks.append(part)
            continue
        cell = executed["cells"][part.place]
        tags = cell["metadata"].get("tags", [])
        if "remove-input" not in tags:
            blocks.append(fenced(cell["source"], "python"))
        blocks += [_shown(output) for output in outputs(cell, part.markdown)]
    return "\n\n".join([*blocks, f"---\n\n{note}"]) + "\n"


# -- The build ------------------------------------------------------------------------------------


def _file(app: Sphinx, name: str) -> Path:
    path = Path(app.outdir, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_forms(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Write the other forms of a page when the page is written."""
    if app.builder.name != "html":
        return
    address = app.config.html_baseurl + app.builder.get_target_uri(docname)
    page = Page(doctree, address)
    note = (
        f"This page is from [Unrolled]({address}), version {app.config.version}, "
        f"and was executed with PyTorch {TORCH}."
    )
    path = Path(app.env.mystnb_config.output_folder, f"{docname}.ipynb")  # type: ignore[attr-defined]  # MyST-NB puts it there
    if any(isinstance(part, Cell) for part in page.parts):
        executed = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # no types
        for text in complaints(executed):
            logger.warning("a cell that is not shown warns: %s", text, location=docname)
        made = notebook(page, executed, note, app.config.version)
        text = nbformat.writes(made)  # type: ignore[no-untyped-call]  # no types
        _file(app, f"{FOLDER}/{docname}.ipynb").write_text(text + "\n", "utf-8")
        _file(app, f"{FOLDER}/{docname}.py").write_text(script(made, app.config.version), "utf-8")
    else:
        executed = None
    _file(app, f"{docname}.md").write_text(markdown(page, executed, note), "utf-8")


def complaints(executed: Any) -> Iterator[str]:
    """Give what cells that a page does not show wrote to stderr, where MyST-NB does not look."""
    for cell in executed["cells"]:
        if "remove-cell" in cell["metadata"].get("tags", []):
            for output in cell["outputs"]:
                if output.get("name") == "stderr":
                    yield output["text"]


def has_cells(app: Sphinx, docname: str) -> bool:
    return Path(app.outdir, FOLDER, f"{docname}.ipynb").exists()


def add_buttons(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Offer the forms of a page in its header, and Colab and Binder, which open its notebook."""
    if doctree is None or app.builder.name != "html":
        return
    repository = f"{context['github_user']}/{context['github_repo']}"
    path, root = f"{pagename}.ipynb", context["pathto"]("", 1).rstrip("/") or "."
    found = [(f"{root}/{pagename}.md", "Markdown", "This page as Markdown, with its outputs")]
    if has_cells(app, pagename):
        colab = f"https://colab.research.google.com/github/{repository}/blob/{BRANCH}/{path}"
        binder = f"https://mybinder.org/v2/gh/{repository}/{BRANCH}?labpath={quote(path, safe='')}"
        found = [
            (colab, "Open in Colab", "Run this page on Google Colab"),
            (binder, "Open in Binder", "Run this page on Binder"),
            (f"{root}/{FOLDER}/{path}", "Notebook", "This page as a Jupyter notebook"),
            (f"{root}/{FOLDER}/{pagename}.py", "Script", "This page as a Python script"),
            *found,
        ]
    markdown = f'<link rel="alternate" type="text/markdown" href="{root}/{pagename}.md">'
    context["metatags"] = f"{context['metatags']}\n{markdown}"
    context.setdefault("header_buttons", []).append(
        {
            "type": "group",
            "label": "take-buttons",
            "tooltip": "Take this page with you",
            "icon": "fas fa-download",
            "buttons": [
                {"type": "link", "url": url, "text": text, "tooltip": tooltip, "label": "take"}
                for url, text, tooltip in found
            ],
        }
    )


def _below(app: Sphinx, docname: str) -> Iterator[str]:
    yield docname
    for child in app.env.toctree_includes.get(docname, []):
        yield from _below(app, child)


def parts_of_site(app: Sphinx) -> dict[str, list[str]]:
    """Give the pages in reading order, by the part of the site that they are in."""
    root = app.config.root_doc
    found = {"Start": [root]}
    for tree in app.env.get_doctree(root).findall(addnodes.toctree):
        pages = (page for _, name in tree["entries"] for page in _below(app, name))
        found.setdefault(tree["caption"] or "Start", []).extend(pages)
    return found


def first_sentence(text: str) -> str:
    """Give the first sentence under the title of a page."""
    for block in text.split("\n\n"):
        if not block.startswith(("#", ">", "|", "-", "```", "[")):
            return block.splitlines()[0]
    return ""


def write_lists(app: Sphinx, exception: Exception | None) -> None:
    """Write what assistants look for, and delete the forms of pages that are gone."""
    if exception or app.builder.name != "html":
        return
    out = Path(app.outdir)
    for file in out.rglob("*.md"):
        name = file.relative_to(out).with_suffix("").as_posix()
        if not name.startswith("_") and name not in app.env.found_docs:
            file.unlink()
    # What Binder installs before it opens a notebook of the branch.
    _file(app, f"{FOLDER}/requirements.txt").write_text(
        f"unrolled[pages]=={app.config.version}\n", "utf-8"
    )
    for kind in ("*.ipynb", "*.py"):
        for file in (out / FOLDER).rglob(kind):
            if file.relative_to(out / FOLDER).with_suffix("").as_posix() not in app.env.found_docs:
                file.unlink()
    lines = [f"# {app.config.project}", "", f"> {app.config.epub_description}", ""]
    lines += [
        "Every page is here as Markdown with the outputs of its code, which ran with PyTorch "
        f"{TORCH}; "
        f"[all of them in one file]({app.config.html_baseurl}llms-full.txt).",
    ]
    whole = []
    for part, pages in parts_of_site(app).items():
        lines += ["", f"## {part}", ""]
        for name in pages:
            text = (out / f"{name}.md").read_text("utf-8")
            title = app.env.titles[name].astext()
            address = f"{app.config.html_baseurl}{name}.md"
            lines.append(f"- [{title}]({address}): {first_sentence(text)}")
            whole.append(text)
    (out / "llms.txt").write_text("\n".join(lines) + "\n", "utf-8")
    (out / "llms-full.txt").write_text("\n".join(whole), "utf-8")


def setup(app: Sphinx) -> ExtensionMetadata:
    # When titles, numbers and minutes have been set.
    app.connect("doctree-resolved", write_forms, priority=900)
    app.connect("html-page-context", add_buttons, priority=600)  # after those of the theme
    app.connect("build-finished", write_lists)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
