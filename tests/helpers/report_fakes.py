"""A comparison's folder with known numbers and no training; opening its report in a browser."""

import re
from dataclasses import asdict

import torch

from pretexto.comparison.grid import runs_of
from pretexto.comparison.rows import collect, save_failure, save_rows
from pretexto.datasets.cache import write_json
from pretexto.evaluation.stamp import Protocol, Row
from pretexto.modalities.input_spec import InputSpec
from pretexto.visualization.puzzles import save_image

VIEW = InputSpec("image", size=8, frames=1)
# Names that would break a page that does not escape them.
CLASSES = ("<b>walk</b>", "run & jump")
MEANS = {"alpha": 0.60, "beta": 0.40, "gamma": 0.50, "supervised": 0.70, "random-init": 0.30}


def make_row(value, method, metric):
    stamp = Protocol(
        method, "f1", "films", "test", "h1", asdict(VIEW), 1, 1, f"recipe of {method}", metric
    )
    shares = dict.fromkeys(CLASSES, value)
    lost = {"unreadable_names": ["torn/one.mp4: decode: the stream ends early"], "unreadable": 1}
    common = {"n_train": 20, "n_val": 0, "n_test": 10, "classes": 2, "chance": 0.125}
    return Row(stamp, value, (0.0, 1.0), per_class=shares, **common, **lost).to_dict()


def fill(out):
    """A comparison's folder as `compare` leaves it, with known numbers and no training."""
    recipes = {name: {"kind": "task", "reference": "random-init", "recipe": {"class_path": name},
                      "trainer": None, "optimizer": None} for name in MEANS}  # fmt: skip
    recipes["supervised"]["kind"], recipes["random-init"]["kind"] = "supervised", "random"
    recipes["delta"] = {**recipes["alpha"], "recipe": "delta </script><script>alert(1)</script>"}
    plan = {
        "data": {"name": "films", "fingerprint": "f1", "examples": 30, "classes": list(CLASSES)},
        "splits": {"test": {"train": 20, "val": 0, "test": 10, "hash": "h1"}},
        "seeds": 3, "protocols": ["linear", "knn"], "view": asdict(VIEW), "clips": 1,
        "levels": False, "trainer": {"steps": 40, "epochs": None, "batch_size": 5},
        "optimizer": {"lr": 0.1}, "entries": recipes,
    }  # fmt: skip
    write_json(out / "plan.json", plan)
    about = {"command": "pretexto compare --config films", "versions": {"torch": "2.11"}}
    write_json(out / "about.json", {**about, "commit": "abc123", "written": "today"})
    runs = runs_of(dict.fromkeys(recipes, 3), ["test"])
    for run in runs:
        fill_run(out, run)
    collect(runs, out)
    return out


def fill_run(out, run):
    folder = run.folder(out)
    if run.entry == "delta":
        save_failure(run, out, "the loss is no number", "Traceback")
        return
    spread = (0.01, -0.01, 0.0) if run.entry == "random-init" else (-0.01, 0.0, 0.01)
    value = MEANS[run.entry] + spread[run.seed]
    numbers = [(value, "linear", "top1"), (value / 2 + 0.3, "linear", "top5"),
               (1 - value, "knn", "top1")]  # fmt: skip
    save_rows(run, out, [make_row(*three) for three in numbers])
    write_json(folder / "job.json", {"fields": {"alone": True}})
    if run.entry != "random-init":
        lines = ["step,epoch,loss,accuracy,lr,examples_per_second,waiting"]
        lines += [f"{k},0,{2 / k},{k / 50},0.1,25,0.1" for k in (1, 10, 20, 40)]
        (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    if run.seed == 0:
        fill_evidence(out, folder, pictures=run.entry != "random-init")


LAYERS = ("stem", "layer1", "embedding")


def fill_many(out, tasks):
    """A comparison of many tasks with unlike budgets, evaluated at every layer."""
    names = [f"task_number_{k}" for k in range(tasks)]
    entry = {"kind": "task", "reference": "random-init", "recipe": {},
             "optimizer": None, "trainer": None}  # fmt: skip
    entries = {name: {**entry, "trainer": {"batch_size": 5 + k}} for k, name in enumerate(names)}
    entries["random-init"] = {**entry, "kind": "random"}
    plan = {
        "data": {"name": "films", "fingerprint": "f1", "examples": 30, "classes": list(CLASSES)},
        "splits": {"test": {"train": 200, "val": 0, "test": 10, "hash": "h1"}},
        "seeds": 2, "protocols": ["linear"], "view": asdict(VIEW), "clips": 1, "levels": True,
        "trainer": {"steps": 40, "epochs": None, "batch_size": 5}, "optimizer": {},
        "entries": entries,
    }  # fmt: skip
    write_json(out / "plan.json", plan)
    runs = runs_of(dict.fromkeys(entries, 2), ["test"])
    for run in runs:
        value = 0.3 + 0.02 * list(entries).index(run.entry) + 0.01 * run.seed
        rows = [make_row(value - 0.05 * k, "linear", "top1") for k in range(3)]
        rows = [{**row, "level": level} for row, level in zip(rows, LAYERS, strict=True)]
        save_rows(run, out, rows)
        write_json(run.folder(out) / "job.json", {"fields": {"alone": True}})
        if run.entry in names:
            lines = [f"{k},{2 / k},{k / 50},{20 + value}" for k in (1, 10, 40)]
            text = "\n".join(["step,loss,accuracy,examples_per_second", *lines])
            (run.folder(out) / "metrics.csv").write_text(text + "\n")
    collect(runs, out)
    return out


def fill_evidence(out, folder, *, pictures):
    evidence = folder / "evidence"
    hits = {"query": 20, "hits": [0, 1, 2, 3, 4]}
    write_json(evidence / "neighbours.json", [hits])
    listed = {str(i): {"name": f"{i}.mp4", "label": CLASSES[i % 2], "error": ""}
              for i in (20, 0, 1, 2, 3, 4)}  # fmt: skip
    write_json(out / "thumbnails" / "thumbnails.json", listed)
    for i in listed:
        save_image(torch.rand(3, 16, 16), out / "thumbnails" / f"{i}.png", 144)
        from PIL import Image

        Image.open(out / "thumbnails" / f"{i}.png").save(out / "thumbnails" / f"{i}.jpg")
    if pictures:
        save_image(torch.rand(3, 8, 16), evidence / "puzzle-0-0.png")
        image = {"file": "puzzle-0-0.png", "aspect": 2.0}
        one = {"images": [image], "captions": ["Which?"], "answer": "a", "correct": True}
        write_json(
            evidence / "puzzles.json",
            {"note": "", "examples": [{**one, "prediction": "a (90 %)"}]},
        )


def opened(browser, folder, *, width, scheme="light"):
    context = browser.new_context(
        viewport={"width": width, "height": 900}, offline=True, color_scheme=scheme
    )
    # On a machine with other work to do a page of sixteen tasks takes more than half a minute.
    context.set_default_timeout(200_000)
    page, trouble = context.new_page(), []
    page.on("console", lambda m: trouble.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("dialog", lambda dialog: trouble.append(f"dialog {dialog.message}"))
    page.on(
        "request", lambda r: None if r.url.startswith(("file:", "data:")) else trouble.append(r.url)
    )
    page.goto((folder / "report.html").as_uri())
    page.wait_for_selector("body[data-drawn]")
    yield page
    context.close()
    assert trouble == []


def luminance(colour):
    """Relative luminance of "rgb(r, g, b)" (WCAG 2.1)."""
    parts = [int(n) / 255 for n in re.findall(r"\d+", colour)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)
