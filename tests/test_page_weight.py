"""What is left out of the style sheet of a page, what has to stay, and what a policy stops."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parent.parent / "docs"


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


styles = _load(DOCS / "_ext" / "used_styles.py")
policy = _load(DOCS / "_scripts" / "page_policy.py")

PAGE = '<p class="seen" id="here">&eacute;</p><i class="fa-solid fa-sun"></i>'
SCRIPT = 'box.classList.add("scrolled"); text = "\\u03c3";'
USED = styles.used_by([PAGE], [SCRIPT])


def left(css: str) -> str:
    return "".join(map(str, styles.drop_unused(styles.rules_in(css, USED.names), USED)))


@pytest.mark.parametrize(
    "rule",
    [
        "p{color:red;}",
        "P:hover::before{color:red;}",
        ".seen>#here{color:red;}",
        "body.scrolled{color:red;}".replace("body", "p"),
        "p:not(.unseen){color:red;}",
        "p:is(.unseen,.seen){color:red;}",
        "p[data-any=unseen]{color:red;}",
        "p:nth-child(2n){color:red;}",
        "@media (min-width: 3em){p{color:red;}}",
        "*{color:red !important;}".replace(" !", "!"),
    ],
)
def test_a_rule_that_can_match_stays_as_it_is(rule: str) -> None:
    assert left(rule) == rule


@pytest.mark.parametrize(
    "rule",
    [
        "table{color:red;}",
        ".unseen{color:red;}",
        "#nowhere p{color:red;}",
        "p:is(.unseen,table){color:red;}",
        "p:where(.unseen){color:red;}",
        "@media print{.unseen{color:red;}}",
        "@keyframes spin{to{rotate:1turn;}}",
        '@font-face{font-family:Unseen;src:url("a.woff2");}',
    ],
)
def test_a_rule_that_cannot_match_goes(rule: str) -> None:
    assert left(rule) == ""


def test_of_a_list_of_selectors_those_stay_that_can_match() -> None:
    assert left(".unseen, p , .a.seen{color:red;}") == "p{color:red;}"


def test_custom_properties_stay_that_are_asked_for_by_what_stays() -> None:
    css = "p{--a:1px;--b:var(--a);--c:2px;--d:var(--c);width:var(--b);}"
    assert left(css) == "p{--a:1px;--b:var(--a);width:var(--b);}"


def test_faces_and_animations_stay_that_are_asked_for() -> None:
    css = '@font-face{font-family:"A B";src:url("a");}@keyframes spin{to{rotate:1turn;}}'
    css += "p{font-family:A B;animation:spin 1s;}"
    assert left(css) == css


def test_the_icon_font_goes_and_not_what_is_beside_it() -> None:
    css = '@font-face{font-family:"Font Awesome\\ 7 Free";}.fa-solid{a:b;}.fas,.fa-sun:before{a:b;}'
    css += ".seen .fa-sun{a:b;}.seen,.fas{a:b;}p{content:var(--pst-icon-sun);c:d;}"
    rules = styles.without_icon_font(styles.rules_in(css, USED.names | {"fas"}))
    assert "".join(map(str, rules)) == ".seen .fa-sun{a:b;}.seen,.fas{a:b;}p{c:d;}"


def test_the_characters_are_those_of_pages_entities_and_scripts() -> None:
    assert {"é", "σ"} <= set(USED.characters)
    assert USED.icons == {"solid", "sun"}


def test_imports_are_put_in_their_place_and_addresses_rebased(tmp_path: Path) -> None:
    (tmp_path / "styles").mkdir()
    (tmp_path / "basic.css").write_text("p{background:url(file.png)}", "utf-8")
    sheet = tmp_path / "styles" / "theme.css"
    sheet.write_text("@import \"../basic.css\";\np{background:url('../a/b.svg#c')}", "utf-8")
    assert styles.load(sheet, tmp_path) == (
        "p{background:url(file.png)}\np{background:url('a/b.svg#c')}"
    )


def test_what_is_no_style_sheet_is_refused() -> None:
    with pytest.raises(ValueError, match="a style sheet that cannot be read"):
        styles.rules_in("p", set())


def test_a_page_asks_for_the_files_of_its_build() -> None:
    page = '<link href="../_static/a.css"><script src="../_static/a.js?v=0f"></script> _static/a.js'
    assert styles.stamped(page, {"a.css": "12", "a.js": "34"}) == (
        '<link href="../_static/a.css?v=12"><script src="../_static/a.js?v=34"></script> '
        "_static/a.js"
    )


POLICY = "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'{}\"><body>"


def test_a_page_without_what_its_policy_stops_has_no_findings() -> None:
    digest = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"  # of nothing
    page = POLICY.format(f"; script-src 'self' {digest}")
    page += '<script src="a.js"></script><script type="application/json">{}</script>'
    assert policy.read_page(page) == []


@pytest.mark.parametrize(
    ("page", "finding"),
    [
        ("<body>", "no content security policy"),
        (POLICY.format("; img-src https://example.org"), "allows other hosts"),
        (POLICY.format("; img-src *"), "allows other hosts"),
        (POLICY.format("") + '<p onclick="f()">', "a handler in an attribute: onclick"),
        (POLICY.format("") + '<a href="javascript:f()">', "a script in an address"),
        (POLICY.format("") + "<style>p{}</style>", "a style element"),
        (POLICY.format("") + "<script>f()</script>", "an inline script that the policy stops"),
        ("<script>f()</script>" + POLICY.format(""), "an inline script before the policy"),
    ],
)
def test_what_a_policy_stops_is_found(page: str, finding: str) -> None:
    assert any(finding in text for text in policy.read_page(page))
