"""What the sources of the pages promise: nothing hidden, skipped, or typed and not computed."""

import ast
import re
import symtable
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from unrolled_site import example

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
FENCE = re.compile(
    r"^(?P<ticks>`{3,}|~{3,})(?P<info>[^\n]*)\n(?P<body>.*?)^(?P=ticks)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
OPTION = re.compile(r"^:(?P<name>[\w-]+):(?P<value>[^\n]*)\n", re.MULTILINE)
# What the index names under each of these captions has the form of a chapter.
CAPTIONS = ("The walk-through", "The whole module", "In practice", "Deeper")
COMPUTING = {"torch", "np", "numpy", "nn", "F", "random", "math", "statistics"}


class Cell(NamedTuple):
    line: int
    tags: frozenset[str]
    code: str

    @property
    def hidden(self) -> bool:
        return any(tag.startswith(("remove-", "hide-")) for tag in self.tags)


def name(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


def fences(text: str) -> Iterator[tuple[int, str, str]]:
    """Give line, what stands behind the opening fence, and body; also of nested fences."""
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield line, match["info"].strip(), match["body"]
        yield from ((line + inner, info, body) for inner, info, body in fences(match["body"]))


def pages_under(caption: str) -> list[Path]:
    """Give the pages that the index names under a caption."""
    index = (DOCS / "index.md").read_text("utf-8")
    (body,) = (
        body
        for _, info, body in fences(index)
        if info == "{toctree}" and f":caption: {caption}\n" in body
    )
    return [DOCS / f"{line}.md" for line in body.split("\n\n", 1)[1].split()]


CHAPTER_PAGES = [page for caption in CAPTIONS for page in pages_under(caption)]
CATALOGUE_PAGES = [page for page in PAGES if re.match(r"practice/(errors|questions)_", name(page))]


def cells(text: str) -> list[Cell]:
    found = []
    for line, info, body in fences(text):
        if info.startswith("{code-cell}"):
            options = re.match(r"(:[\w-]+:[^\n]*\n)*", body)
            assert options is not None
            head = options[0]
            values = {match["name"]: match["value"] for match in OPTION.finditer(head)}
            tags = frozenset(re.findall(r"[\w-]+", values.get("tags", "")))
            found.append(Cell(line, tags, body[len(head) :]))
    return found


def prose(text: str) -> str:
    """Drop everything that is run."""
    for _, info, body in fences(text):
        if info.startswith(("{code-cell}", "python")):
            text = text.replace(body, "")
    return text


def names_bound(code: str) -> set[str]:
    """Find what a cell leaves behind, without the variables of comprehensions and functions."""
    symbols = symtable.symtable(code, "cell", "exec").get_symbols()
    return {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}


def names_read(code: str) -> set[str]:
    """Find what a cell reads from itself or from the cells before it."""
    tables, found = [symtable.symtable(code, "cell", "exec")], set()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module"):
                found.add(symbol.get_name())
    return found


def test_the_chapters_are_there() -> None:
    missing = [name(page) for page in CHAPTER_PAGES if page not in PAGES]
    assert missing == []
    assert len(CHAPTER_PAGES) == len(set(CHAPTER_PAGES)) >= 36
    assert len(CATALOGUE_PAGES) >= 13


@pytest.fixture(params=PAGES, ids=name)
def page(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_nothing_is_skipped_or_allowed_to_fail(text: str) -> None:
    allowed = {"remove-cell", "remove-input", "hide-input", "hide-output", "setup"}
    for cell in cells(text):
        assert cell.tags <= allowed, f"line {cell.line}"
    for words in ("skip-execution", "raises-exception", "remove-stderr", "remove-output"):
        assert words not in text
    assert not re.search(r"\{eval\}|\{testcode\}|execution_mode|allow_errors", text)


def test_fences_of_code_are_python_or_run_elsewhere(text: str) -> None:
    for line, info, body in fences(text):
        language = info.partition(" ")[0]
        # Sybil runs `python`; it does not see the others.
        assert language not in {"pycon", "py", "python3", "ipython", "ipython3"}, f"line {line}"
        if language not in {"python", "{code-cell}"}:
            assert ">>> " not in body or "```" in body, f"line {line}"


def test_cells_that_are_hidden_only_glue(text: str, page: Path) -> None:
    for cell in cells(text):
        if "remove-cell" not in cell.tags:
            continue
        for statement in ast.parse(cell.code).body:
            where = f"line {cell.line}: {ast.unparse(statement)}"
            if isinstance(statement, ast.ImportFrom):
                assert ast.unparse(statement) == "from myst_nb import glue", where
                continue
            assert isinstance(statement, ast.Expr), where
            call = statement.value
            assert isinstance(call, ast.Call), where
            assert ast.unparse(call.func) == "glue", where
            key, value = call.args
            assert isinstance(key, ast.Constant), where
            assert isinstance(key.value, str), where
            assert key.value.replace("_", "-").startswith(page.stem.replace("_", "-") + "-"), where
            assert [ast.unparse(keyword) for keyword in call.keywords] == ["display=False"], where
            assert not names_read(ast.unparse(value)) & COMPUTING, where


def test_cells_without_input_only_draw(text: str) -> None:
    """They draw or write a table: no arithmetic of tensors, nothing that other cells need."""
    unseen: set[str] = set()
    for cell in cells(text):
        where = f"line {cell.line}"
        if "remove-input" not in cell.tags and "hide-input" not in cell.tags:
            if not cell.hidden:
                bound = names_bound(cell.code)
                depends = (names_read(cell.code) & unseen) - bound
                assert not depends, f"{where} depends on a cell that a reader does not see"
                unseen -= bound
            continue
        unseen |= names_bound(cell.code)
        assert not names_read(cell.code) & COMPUTING, where
        for node in ast.walk(ast.parse(cell.code)):
            assert not isinstance(node, ast.Delete | ast.FunctionDef | ast.ClassDef), where
            if isinstance(node, ast.Attribute | ast.Subscript):
                assert isinstance(node.ctx, ast.Load), f"{where}: something is written into"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                method = node.func.attr
                assert method.startswith("_") or not method.endswith("_"), f"{where}: {method}"


def test_sizes_of_the_example_are_not_typed(text: str, page: Path) -> None:
    if page.stem == "claims":
        return  # it reports what the article says
    N, L, H_in, H_out = example.N, example.L, example.H_in, example.H_out
    typed = [
        *((N, L, H_in), (N, L, H_out), (L, N, H_in), (L, N, H_out), (1, N, H_out), (1, L, H_out)),
        *((H_out, H_in), (H_out, H_out), (H_out,)),
    ]
    found = [str(shape) for shape in typed if str(shape) in prose(text)]
    assert found == []
    for cell in cells(text):
        found = [str(shape) for shape in typed[:6] if str(shape) in cell.code]
        assert found == [], f"line {cell.line}"


def test_numbers_reach_the_prose_by_keys_that_exist(text: str) -> None:
    glued = set(re.findall(r'glue\(\s*"([^"]+)"', text))
    used = set(re.findall(r"\{glue(?::\w+)?\}`([^`:]+)", text))
    used |= set(re.findall(r"^`{3,}\{glue(?::\w+)?\} (\S+)", text, re.MULTILINE))
    assert glued == used


def test_pages_with_cells_are_notebooks(text: str) -> None:
    if cells(text):
        assert text.startswith("---\n")
        front_matter = text.split("---\n")[1]
        assert "format_name: myst" in front_matter
        assert "kernelspec" in front_matter


@pytest.fixture(params=CHAPTER_PAGES, ids=lambda page: page.stem)
def chapter(request: pytest.FixtureRequest) -> str:
    return Path(request.param).read_text(encoding="utf-8")


def test_chapter_has_its_parts(chapter: str) -> None:
    outside = FENCE.sub("", chapter)
    assert len(re.findall(r"^# ", outside, re.MULTILINE)) == 1
    headings = re.findall(r"^## (.*)$", outside, re.MULTILINE)
    assert headings[-3:] == ["In short", "Exercises", "Where to go next"]
    summary = outside.partition("## In short")[2].partition("\n## ")[0]
    points = re.findall(r"^(?:[*-]|\d+\.|\|) ?", summary, re.MULTILINE)
    assert 3 <= len(points) <= 12


def test_exercises_have_solutions_that_are_executed(chapter: str) -> None:
    exercises = re.findall(
        r"^`{3,}\{exercise(?:-start)?\}[^\n]*\n(?:(?!`{3,})[^\n]*\n)*?:label: (\S+)",
        chapter,
        re.MULTILINE,
    )
    solutions = re.findall(
        r"^(?:`{3,})\{solution-start\} (\S+)\n:class: dropdown\n`{3,}\n(.*?)^`{3,}\{solution-end\}",
        chapter,
        re.MULTILINE | re.DOTALL,
    )
    assert 2 <= len(exercises) <= 5
    assert sorted(exercises) == sorted(label for label, _ in solutions)
    assert len(re.findall(r"\{solution(?:-start)?\}", chapter)) == len(solutions)
    for label, body in solutions:
        code = [cell for cell in cells(body) if not cell.hidden]
        assert code, label
        assert any("assert" in cell.code for cell in code), label


@pytest.mark.parametrize("page", CHAPTER_PAGES + CATALOGUE_PAGES, ids=name)
def test_first_screen_has_the_answer(page: Path) -> None:
    """Two sentences, a picture, the opening; no code that a reader has to pass before a heading."""
    text = page.read_text("utf-8").split("---\n", 2)[2]
    head = re.split(r"^## ", FENCE.sub(lambda m: m[0].replace("\n#", "\n "), text), flags=re.M)[0]
    _, _, head = head.partition("\n# ")[2].partition("\n")
    head = re.sub(r"^:::\{alive\}.*?^:::$", "", head, flags=re.M | re.S)  # part of its drawing
    before, opening, _ = head.partition("```{opening}")
    assert opening
    answer = FENCE.sub("", before).strip()
    assert before.strip().startswith(answer)
    assert len(answer.splitlines()) == 2, answer
    assert all(line[-1] in ".!?:" for line in answer.splitlines()), answer
    drawn = [cell for cell in cells(before) if "remove-input" in cell.tags]
    assert len(drawn) + before.count("```{glue} ") == 1
    for cell in cells(head):
        assert cell.hidden or "setup" in cell.tags, f"line {cell.line}: code on the first screen"


@pytest.mark.parametrize("page", CHAPTER_PAGES + CATALOGUE_PAGES, ids=name)
def test_first_exercise_is_for_a_pencil(page: Path) -> None:
    titled = re.findall(
        r"^`{3,}\{exercise(?:-start)?\} ?([^\n]*)\n:label: (\S+)", page.read_text("utf-8"), re.M
    )
    stem = page.stem.replace("_", "-")
    assert [i for i, (title, _) in enumerate(titled) if title == "With a pencil"] == [0]
    assert titled[0][1].replace("_", "-") == f"{stem}-pencil"


def test_claims_are_checked(chapter: str) -> None:
    checks = sum(cell.code.count("assert") for cell in cells(chapter) if not cell.hidden)
    assert checks >= 5


def test_no_local_path_or_promise(text: str) -> None:
    assert not re.search(r"/(?:work|tmp|home|root|Users)/", text)
    assert not re.search(r"coming soon|TODO|FIXME|lorem ipsum", text, re.IGNORECASE)
