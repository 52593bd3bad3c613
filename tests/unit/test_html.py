"""The report's other forms: everything that matters is said, names of strangers cannot act, any kind of report can be drawn."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any, cast

import jsonschema
import pytest
from test_report import ended
from test_report import report as verdict

from harness import report
from harness.bundle import Bundle
from harness.report import diagram, pages
from harness.worker.tfworker.live_configs import configs

VOID = {"meta", "input", "br", "link"}
HOSTILE = '"><script>alert(1)</script>|`'


def node(name: str, class_name: str, *feeds: str) -> dict[str, Any]:
    inputs = [[feed, 0, 0] for feed in feeds]
    return {"name": name, "class_name": class_name, "config": {}, "calls": [{"inputs": inputs, "kwargs": {}}]}


def bundle(*layers: dict[str, Any], weights: int = 3) -> Bundle:
    arrays = [
        {"name": f"a/w{i}", "shape": [i + 1, 2], "dtype": "float32", "role": f"w{i}", "layer": ["a"]}
        for i in range(weights)
    ]
    graph = {"layers": list(layers)}
    return cast("Bundle", SimpleNamespace(manifest={"model": {"graph": graph}, "arrays": arrays}))


MODEL = bundle(
    node("x", "InputLayer"), node("a", "Dense", "x"), node("b", "Dense", "x"), node("c", "Concatenate", "a", "b")
)


def samples() -> dict[str, tuple[dict[str, Any], Bundle | None]]:
    """A report of every verdict, by name."""
    return {
        "verified": (verdict(), MODEL),
        "diverged": (verdict(ok=False), MODEL),
        "refused": (ended("layer-unsupported"), None),
        "failed": (ended("worker-crashed"), MODEL),
    }


class Checker(HTMLParser):
    """Every element is closed in turn; texts and attributes are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data


def parsed(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    return checker


@pytest.mark.parametrize("name", samples())
def test_every_page_is_whole_and_needs_nothing_else(name: str) -> None:
    page = parsed(pages.render(*samples()[name])["report.html"])
    assert name.upper() in page.text
    links = [attrs.get(key) for _, attrs in page.tags for key in ("href", "src") if attrs.get(key)]
    assert links
    assert all(link is not None and link.startswith("#") for link in links)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link} <= set(ids)


def test_the_page_of_a_diverged_run_names_the_layer_and_its_elements() -> None:
    texts = pages.render(*samples()["diverged"])
    page = parsed(texts["report.html"])
    assert "computes something else" in page.text
    assert "The first layer that differs: b (Dense)" in page.text
    assert "differs by 1 of the largest value" in texts["report.md"]
    assert sum(attrs.get("class") == "box bad" for _, attrs in page.tags) == 1


def test_configs_of_the_first_layer_that_differs_stand_side_by_side() -> None:
    made, model = verdict(ok=False), bundle(node("a", "Dense"), node("b", "Dense", "a"))
    model.manifest["model"]["graph"]["layers"][1]["config"] = {"units": 2, "activation": "tanh", "old": HOSTILE}
    report.add_configs(made["layers"], model, {"b": {"units": 2, "activation": "relu"}})
    assert made["layers"]["first_divergent"]["configs"]["new"] == {"units": 2, "activation": "relu"}
    jsonschema.validate(made, report.schema())
    text = parsed(pages.render(made, model)["report.html"]).text
    assert '"tanh"' in text
    assert '"relu"' in text
    assert "not there" in text
    report.add_configs(made["layers"], model, {})
    assert made["layers"]["first_divergent"]["configs"] is None
    jsonschema.validate(made, report.schema())


def test_configs_of_live_layers_are_found_by_their_path_and_kept_short() -> None:
    class Layer:
        def __init__(self, config: Any, **inner: Any) -> None:
            self.config, self.inner = config, inner

        def get_layer(self, name: str) -> Any:
            return self.inner[name]

        def get_config(self) -> Any:
            return self.config

    model = Layer({}, a=Layer({"units": 2}), B=Layer({}, c=Layer({"held": "x" * 5000}), d=Layer({"rate": object})))
    paths = [["a"], ["b", "c"], ["b", "d"], ["gone"]]
    found = configs(model, [{"path": path} for path in paths], lambda path: ["B" if n == "b" else n for n in path])
    assert found == {"a": {"units": 2}, "b/d": {"rate": "<class 'object'>"}}


def test_the_page_of_a_refused_run_says_what_to_do() -> None:
    texts = pages.render(*samples()["refused"])
    for text in (parsed(texts["report.html"]).text, texts["report.md"], texts["report.xml"]):
        assert "layer-unsupported" in text
        assert "What to do" in text


def test_names_of_strangers_stay_text() -> None:
    made = copy.deepcopy(verdict(ok=False))
    made["layers"]["first_divergent"]["layer"] = made["layers"]["all"][0]["layer"] = HOSTILE
    made["source"]["file"] = made["outputs"][0]["name"] = made["ledger"][0]["before"] = HOSTILE
    made["not_checked"] = [HOSTILE + "\x00\x1b"]
    texts = pages.render(made, bundle(node(HOSTILE, HOSTILE)))
    page = parsed(texts["report.html"])
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert HOSTILE in page.text
    assert "<script" not in texts["report.md"]
    ET.fromstring(texts["report.xml"])


def test_junit_has_a_case_for_everything_compared_and_counts_failures() -> None:
    suite = ET.fromstring(pages.render(*samples()["diverged"])["report.xml"])[0]
    assert suite.get("failures") == "2"
    names = [case.get("name") for case in suite]
    assert names == ["Outputs of the saved model, in a fresh process", "Layers", "Weights", "Reach of the probes"]
    refused = ET.fromstring(pages.render(*samples()["refused"])["report.xml"])[0]
    assert (refused.get("tests"), refused.get("errors")) == ("1", "1")


def test_every_layer_stands_below_what_feeds_it_and_none_upon_another() -> None:
    drawn = diagram.diagram(MODEL.manifest["model"]["graph"], verdict()["layers"]["all"])
    at = {box["name"]: (box["x"], box["y"]) for box in drawn["boxes"]}
    assert at["x"][1] < at["a"][1] == at["b"][1] < at["c"][1]
    assert len(set(at.values())) == 4
    assert len(drawn["lines"]) == 4
    assert all(0 <= x <= drawn["width"] - diagram.WIDTH for x, _ in at.values())


def test_a_nested_model_is_coloured_by_its_worst_layer() -> None:
    rows = [
        {"layer": "n/one", "call": 0, "ok": True, "max_rel": 1e-9, "tolerance": 1e-5},
        {"layer": "n/two", "call": 0, "ok": False, "max_rel": 1e-2, "tolerance": 1e-5},
        {"layer": "n", "call": 0, "ok": True, "max_rel": 0.0, "tolerance": 1e-5},
    ]
    graph = {"layers": [{**node("n", "Model"), "graph": {"layers": [node("one", "Dense"), node("two", "Dense")]}}]}
    (box,) = diagram.diagram(graph, rows)["boxes"]
    assert (box["state"], box["class_name"]) == ("bad", "Model of 2 layers")


def test_a_model_of_thousands_of_layers_is_drawn_and_one_with_a_cycle_too() -> None:
    chain = [node("0", "InputLayer"), *(node(str(i), "Dense", str(i - 1)) for i in range(1, 3000))]
    assert diagram.diagram({"layers": chain}, [])["height"] > 3000
    assert len(diagram.diagram({"layers": [node("a", "D", "b"), node("b", "D", "a")]}, [])["boxes"]) == 2


def test_the_plot_shows_equal_and_incomparable_values_at_its_ends() -> None:
    rows = [
        {"name": str(value), "max_rel": value, "tolerance": 1e-5, "ok": 0 <= value < 1e-5}
        for value in (0.0, 1e-7, 0.1, -1.0)
    ]
    drawn = diagram.plot(rows, "name")
    heights = [point["y"] for point in drawn["points"]]
    assert heights == sorted(heights, reverse=True)
    assert (heights[0], heights[-1]) == (drawn["height"], 0)
    assert [point["state"] for point in drawn["points"]] == ["same", "good", "bad", "bad"]
