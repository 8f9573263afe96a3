"""Can this pretext task be solved by a trivial cue on this data?

pretexto audit --config shuffle_learn --data my_videos
pretexto audit --encoder runs/shuffle --out audit.jsonl
pretexto audit --config audio_visual --data my_videos --strict

Every guard of the task is looked at on and off, then cues that the task cannot hide, then cues that
no task names. A probe that sees nothing but the cue is fitted on some sources and tested on others;
where its accuracy lies above chance with its whole interval, the cue tells the answer.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .options import count, data_options, given, seed

if TYPE_CHECKING:
    from ..comparison.audit import Finding

TAKES_KEYS = True


def arguments(parser) -> None:
    parser.add_argument("--config", help="YAML file or shipped recipe; default: the run's own")
    parser.add_argument("--encoder", metavar="RUN", help="run folder, whose recipe is audited")
    data_options(parser)
    parser.add_argument("--split", help="use only this split or fold of the data")
    parser.add_argument(
        "--examples", type=count, default=600, help="drawn for each look (default 600)"
    )
    parser.add_argument("--out", help="file for the findings, one JSON row each")
    parser.add_argument(
        "--strict", action="store_true", help="exit with 1 if a visible cue tells the answer"
    )
    parser.add_argument("--seed", type=seed, default=0, help="which examples and draws")


def run(args) -> int:
    if not (args.config or args.encoder):
        raise InputError("audit needs --config RECIPE or --encoder RUN")
    config = args.config or str(Path(args.encoder) / "config.yaml")
    if args.out and not Path(args.out).parent.is_dir():
        raise InputError(f"--out {args.out}: no folder {Path(args.out).parent}")
    tree = _tree(args, config)
    task, objects = _built(tree, config, args.seed)
    from .options import open_objects

    source = open_objects(objects)
    from ..comparison.audit import audit, leaks

    def switched(name: str, on: bool):
        return _built({**tree, "task": with_guard(tree["task"], name, on)}, config, args.seed)[0]

    findings, found = audit(task, switched, source, examples=args.examples, seed=args.seed), []
    print(f"{type(task).__name__} on {source.title or type(source).__name__}", flush=True)
    print(_line(HEAD), flush=True)
    for finding in findings:
        found.append(finding)
        print(_line(_cells(finding)), flush=True)
    if args.out:
        write_findings(Path(args.out), [(type(task).__name__, finding) for finding in found])
    bad = leaks(found, {guard.name: guard.enabled for guard in task.guards})
    print(_summary(bad))
    return 1 if bad and args.strict else 0


def _tree(args, config: str) -> dict[str, Any]:
    from ..build import load_tree

    tree = load_tree(config, args.overrides)
    tree.setdefault("data", "synthetic:train")
    tree |= given(args, "data", "split", "kind", "unique")
    return tree


def _built(tree: dict[str, Any], config: str, seed: int):
    import torch

    from ..build import build
    from .pretrain import schema

    torch.manual_seed(seed)
    objects = build(tree, schema(), config)
    return objects["task"], objects


def with_guard(task: dict[str, Any], name: str, on: bool) -> dict[str, Any]:
    """A recipe's task with one of its guards switched."""
    arguments = dict(task.get("init_args") or {})
    arguments["guards"] = {**(arguments.get("guards") or {}), name: on}
    return {**task, "init_args": arguments}


HEAD = ("cue", "guard", "accuracy", "99 % interval", "chance", "asked", "verdict")
_WIDTHS = (19, 5, 8, 15, 6, 5, 0)


def _cells(finding: "Finding") -> tuple[str, ...]:
    known = finding.known
    verdict = f"{finding.verdict}; {finding.remedy}" if finding.remedy else finding.verdict
    return (
        finding.name,
        finding.guard or "–",
        f"{finding.accuracy:.2f}" if known else "–",
        f"{finding.low:.2f} to {finding.high:.2f}" if known else "–",
        f"{finding.chance:.2f}",
        str(finding.questions),
        verdict,
    )


def _line(cells: Iterable[str]) -> str:
    return "  ".join(f"{c:<{w}}" for c, w in zip(cells, _WIDTHS, strict=True)).rstrip()


def _summary(bad: "list[Finding]") -> str:
    if not bad:
        return "No cue tells the answer, as far as these probes can see."
    names = ", ".join(dict.fromkeys(f"{f.name} ({f.cue})" for f in bad))
    return f"The answer can be told from: {names}."


def write_findings(path: Path, found: "Iterable[tuple[str, Finding]]") -> None:
    """One JSON row per finding, with the task that it is of."""
    from ..datasets.cache import write_text

    rows = [json.dumps({"task": task, **f.row()}, ensure_ascii=False) for task, f in found]
    write_text(path, "".join(f"{row}\n" for row in rows))
    print(f"{len(rows)} findings in {path}", file=sys.stderr)
