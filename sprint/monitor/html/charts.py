"""Static SVG, drawn by pygal and taken over element by element.

pygal brings scripts, colours and fonts of its own: what comes through here is shapes and words only, and the
page's style sheet gives them their look, light and dark. Each chart is drawn twice, for a phone and for a
wide screen: its letters would shrink with it otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET  # writes only; nothing is parsed

from markupsafe import Markup

_WIDTHS = {"narrow": 330, "wide": 580}
_LABEL_SIZE = 12  # of letters, as in the style sheet
_TAGS = frozenset({"svg", "g", "rect", "path", "circle", "text"})
_ATTRIBUTES = frozenset(
    {"class", "viewBox", "x", "y", "rx", "ry", "width", "height", "cx", "cy", "r", "d", "transform"}
)


@dataclass(frozen=True)
class Series:
    """One row of values, None for a gap; `colour` is a class of the style sheet."""

    name: str
    colour: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Axis:
    """From 0 to `top`, with a line and a word at each of `ticks`."""

    top: float
    ticks: Mapping[float, str]


@dataclass(frozen=True)
class About:
    """What a chart is, for those who do not see it; `unit` is one value in words, `{}` its number."""

    key: str
    title: str
    text: str
    unit: str = "{}"


def axis(highest: float, unit: str = "{:,.0f}", *, whole: bool = False) -> Axis:
    """An axis that holds `highest`, with up to five round ticks; `whole` numbers only, where so."""
    step = 10.0 ** math.floor(math.log10(highest / 4)) if highest > 0 else 1.0
    step *= next(factor for factor in (1, 2, 5, 10) if step * factor * 4 >= highest * 0.999)
    if whole:
        step = max(step, 1.0)
    count = max(math.ceil(highest / step - 1e-9), 1)
    return Axis(step * count, {step * index: unit.format(step * index) for index in range(count + 1)})


def columns(about: About, labels: Sequence[str], series: Sequence[Series], scale: Axis) -> Markup:
    """Standing bars, stacked; `labels` one for each value."""
    from pygal import StackedBar

    return _drawn(StackedBar, about, labels, series, scale, {})


def line(about: About, labels: Sequence[str], series: Sequence[Series], scale: Axis) -> Markup:
    """Lines with gaps where there is no value."""
    from pygal import Line

    return _drawn(Line, about, labels, series, scale, {"allow_interruptions": True, "dots_size": 2.2})


def rows(about: About, labels: Sequence[str], series: Sequence[Series], highest: float) -> Markup:
    """Lying bars, one below the other, with their labels beside them and without an axis."""
    from pygal import HorizontalStackedBar

    look = {"show_x_labels": False, "show_y_labels": any(labels), "height": 26 * len(labels) + 4}
    turned = [Series(one.name, one.colour, one.values[::-1]) for one in series]
    return _drawn(HorizontalStackedBar, about, labels[::-1], turned, Axis(highest, {}), look)


def _drawn(
    kind: Any,
    about: About,
    labels: Sequence[str],
    series: Sequence[Series],
    scale: Axis,
    look: Mapping[str, Any],
) -> Markup:
    parts = []
    for size, width in _WIDTHS.items():
        chart = kind(**{**_look(width), **look})
        every = math.ceil(len(labels) / (width / 66)) if "height" not in look else 1
        if every > 1:  # whole weeks between the labels of days
            every = math.ceil(every / 7) * 7
        chart.x_labels = list(labels)
        chart.x_labels_major = list(labels)[:: -max(every, 1)]
        chart.y_labels = [{"value": value, "label": text} for value, text in scale.ticks.items()]
        chart.range = (0, scale.top)
        for one in series:
            chart.add(one.name, list(one.values))
        svg = _taken_over(chart.render_tree(), series, about)
        _describe(svg, about, size)
        parts.append(f'<div class="chart {size}">{ET.tostring(svg, encoding="unicode")}</div>')
    return Markup("".join(parts))  # noqa: S704 - every element and attribute in it is written here


def _look(width: int) -> dict[str, Any]:
    from pygal.style import Style

    return {
        "width": width,
        "height": 190,
        "margin": 6,
        "spacing": 8,
        "js": (),
        "css": (),
        "show_legend": False,
        "show_minor_x_labels": False,
        "show_x_guides": False,
        "truncate_label": -1,
        "rounded_bars": 1,
        "value_formatter": repr,
        "style": Style(label_font_size=_LABEL_SIZE, major_label_font_size=_LABEL_SIZE),
    }


def _taken_over(node: Any, series: Sequence[Series], about: About, owner: Series | None = None) -> ET.Element:
    """The element with what is shape or word; the numbers that pygal has for its script become tooltips."""
    attributes = {name: _short(value) for name, value in node.attrib.items() if name in _ATTRIBUTES}
    names = attributes.pop("class", "").split()
    numbered = next((name for name in names if name.startswith("serie-")), "")
    kept = [name for name in names if name in _CLASSES]
    if numbered:
        owner = series[int(numbered.removeprefix("serie-"))]
        kept.append(owner.colour)
    if kept:
        attributes["class"] = " ".join(kept)
    made = ET.Element(_tag(node), attributes)
    if _tag(node) == "text":
        made.text = node.text
    for child in node:
        if _tag(child) in _TAGS and not _is_empty(child):
            part = _taken_over(child, series, about, owner)
            if len(part) or part.attrib.keys() - {"class", "transform"}:
                made.append(part)
    if owner and len(made):
        _tell(made, node, owner, about)
    return made


_CLASSES = frozenset({"plot", "axis", "x", "y", "line", "guide", "series", "bar", "dot", "background"})


def _tag(node: Any) -> str:
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""


def _short(value: str) -> str:
    """A coordinate to a tenth of a unit; anything else as it is."""
    try:
        return f"{float(value):.1f}".removesuffix(".0")
    except ValueError:
        return value


def _is_empty(node: Any) -> bool:
    """A bar of no length, the drawing's backgrounds and the box that scripts would fill."""
    names = node.get("class", "").split()
    if _tag(node) == "rect" and "background" not in names:
        return min(float(node.get("width", 0)), float(node.get("height", 0))) < 0.05
    return bool({"background", "tooltip-overlay", "text-overlay", "tooltip", "titles"} & set(names))


def _tell(made: ET.Element, node: Any, owner: Series, about: About) -> None:
    """A tooltip for a group that holds one bar or dot."""
    said = {child.get("class"): child.text or "" for child in node if _tag(child) == "desc"}
    if "value" in said:
        number = about.unit.format(float(said["value"]))
        label = f"{said['x_label']}: " if said.get("x_label") else ""
        ET.SubElement(made, "title").text = f"{label}{number} {owner.name}".rstrip()


def _describe(svg: ET.Element, about: About, size: str) -> None:
    for index, (tag, text) in enumerate((("title", about.title), ("desc", about.text))):
        element = ET.Element(tag, {"id": f"{about.key}-{size}-{tag}"})
        element.text = text
        svg.insert(index, element)
    svg.set("role", "img")
    svg.set("aria-labelledby", f"{about.key}-{size}-title {about.key}-{size}-desc")
