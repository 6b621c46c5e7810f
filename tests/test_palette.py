import itertools
from typing import Any

import numpy as np
import pytest

from unrolled_site.figures.palette import INK, PALETTE, stylesheet, token_rules

# Tokens that stand side by side in one figure or formula.
GROUPS = (
    ("x", "h", "wih", "whh", "b", "act", "c"),
    ("gi", "gf", "gg", "go"),
    ("gr", "gz", "gn"),
)
# The smallest CIEDE2000 difference inside a group, for every kind of colour vision tested.
SEPARATION = 10.5
# What the tokens are read on: the page and the surfaces of the theme.
BACKGROUNDS = {
    "light": ("#ffffff", "#f3f4f5"),
    "dark": ("#121212", "#14181e", "#29313d"),
}

# Machado, Oliveira and Fernandes (2009), severity 1.0, for linear sRGB.
VISION = {
    "normal": np.eye(3),
    "protan": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deutan": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritan": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
# IEC 61966-2-1, D65.
XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def linear(colour: str) -> Any:
    srgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def contrast(first: str, second: str) -> float:  # WCAG 2.2
    light, dark = sorted((float(linear(c) @ XYZ[1]) for c in (first, second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def lab(rgb: Any) -> tuple[float, float, float]:
    t = XYZ @ np.clip(rgb, 0, 1) / (XYZ @ np.ones(3))
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


def ciede2000(first: Any, second: Any) -> float:  # Sharma, Wu and Dalal (2005)
    (L1, a1, b1), (L2, a2, b2) = first, second
    C = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    G = 0.5 * (1 - np.sqrt(C**7 / (C**7 + 25.0**7)))
    a1, a2 = (1 + G) * a1, (1 + G) * a2
    C1, C2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    dh = (h2 - h1 + 180) % 360 - 180 if C1 * C2 else 0.0
    dL, dC, dH = L2 - L1, C2 - C1, 2 * np.sqrt(C1 * C2) * np.sin(np.radians(dh / 2))
    L, C = (L1 + L2) / 2, (C1 + C2) / 2
    h = h1 + dh / 2 if C1 * C2 else h1 + h2
    T = (
        1
        - 0.17 * np.cos(np.radians(h - 30))
        + 0.24 * np.cos(np.radians(2 * h))
        + 0.32 * np.cos(np.radians(3 * h + 6))
        - 0.20 * np.cos(np.radians(4 * h - 63))
    )
    S_L = 1 + 0.015 * (L - 50) ** 2 / np.sqrt(20 + (L - 50) ** 2)
    S_C, S_H = 1 + 0.045 * C, 1 + 0.015 * C * T
    turn = 60 * np.exp(-((((h % 360) - 275) / 25) ** 2))
    R = -2 * np.sqrt(C**7 / (C**7 + 25.0**7)) * np.sin(np.radians(turn))
    x, y, z = dL / S_L, dC / S_C, dH / S_H
    return float(np.sqrt(x * x + y * y + z * z + R * y * z))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [  # pairs 1, 4, 10 and 25 of the published test data
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
        ((50, -0.0010, 2.4900), (50, 0.0009, -2.4900), 4.8045),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ],
)
def test_the_difference_is_that_of_the_standard(first: Any, second: Any, expected: float) -> None:
    assert ciede2000(first, second) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("theme", BACKGROUNDS)
@pytest.mark.parametrize("name", PALETTE)
def test_every_token_is_readable_as_text(name: str, theme: str) -> None:
    colour = getattr(PALETTE[name], theme)
    assert min(contrast(colour, background) for background in BACKGROUNDS[theme]) >= 4.5


@pytest.mark.parametrize("theme", BACKGROUNDS)
@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("group", GROUPS)
def test_tokens_of_a_group_stay_apart(group: tuple[str, ...], vision: str, theme: str) -> None:
    seen = {name: lab(VISION[vision] @ linear(getattr(PALETTE[name], theme))) for name in group}
    distances = {(a, b): ciede2000(seen[a], seen[b]) for a, b in itertools.combinations(group, 2)}
    closest = min(distances, key=lambda pair: distances[pair])
    assert distances[closest] >= SEPARATION, closest


def test_groups_and_names_agree() -> None:
    assert all(token.name == name for name, token in PALETTE.items())
    grouped = [name for group in GROUPS for name in group]
    assert sorted([*grouped, "grad"]) == sorted(PALETTE)


@pytest.mark.parametrize("name", PALETTE)
def test_the_style_sheet_has_every_token_in_both_themes(name: str) -> None:
    light, dark = stylesheet().split('html[data-theme="dark"]')
    assert f"--u-{name}: {PALETTE[name].light};" in light
    assert f"--u-{name}: {PALETTE[name].dark};" in dark
    assert stylesheet().count(f".u-{name} {{ color: var(--u-{name}); }}") == 1


def test_a_file_of_its_own_has_ink_and_tokens_of_both_themes() -> None:
    light, dark = token_rules().split("@media (prefers-color-scheme: dark)")
    assert INK["light"] in light
    assert PALETTE["whh"].light in light
    assert INK["dark"] in dark
    assert PALETTE["whh"].dark in dark
