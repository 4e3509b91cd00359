"""What a run leaves behind: a table for people, JSON for machines, and on request a page and a line of history in Docs."""

import json

from .figures import table
from .machine import ROOT

DOCS = ROOT / "Docs/benchmarks"
HEAD = ["part", "figure", "median", "95 % interval", "requirement", "verdict"]


def requirements(outcomes):
    return [requirement for outcome in outcomes.values() for requirement in outcome.requirements]


def text(facts, outcomes, options):
    cores = "shared by client, provider and arm" if options.share_cores or facts["cores"] < 2 else "half of them the arm's, half client's and provider's (`large`: shared)"
    lines = [
        f"Martlet {facts['martlet']} ({facts['commit']}) and {facts['nginx']}, {facts['begun']}, {facts['minutes']} minutes.",
        f"{facts['processor']}, {facts['cores']} cores, {cores}; {facts['memory_gib']} GiB, {facts['kernel']}; loopback. Others used {facts['busy_percent_before']:g} % of the machine before the run.",
        f"Martlet: a key, journal, cost, usage log and metrics on; 1 event loop. nginx: 1 worker, no log. Arms took turns.",
    ]
    for outcome in outcomes.values():
        lines += ["", f"### {outcome.title}", "", table(outcome.rows, outcome.head), ""]
        lines += outcome.notes
        discarded = outcome.figures.get("discarded", 0)
        if discarded:
            lines.append(f"{discarded} rounds were discarded: more than 2 % steal.")
    lines += ["", "### Requirements", "", table([requirement.row() for requirement in requirements(outcomes)], HEAD)]
    lines += ["", "A figure fails when its whole interval is beyond the limit; with the median beyond it and the interval's end within, nothing is proven."]
    return "\n".join(lines)


def as_json(facts, outcomes, options):
    return {
        "facts": facts,
        "options": {name: str(value) if not isinstance(value, (int, float, bool, list, type(None))) else value for name, value in vars(options).items()},
        "requirements": [requirement.as_json() for requirement in requirements(outcomes)],
        "parts": {name: outcome.figures for name, outcome in outcomes.items()},
    }


def write_json(path, facts, outcomes, options):
    if path is None:
        folder = ROOT / ".build/bench-results"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{'peers' if options.peers else 'bench'}-{facts['begun'].replace(':', '')}.json"
    path.write_text(json.dumps(as_json(facts, outcomes, options), indent=1) + "\n")
    return path


def record(facts, outcomes, options, page):
    """Writes the page of the latest run, and appends its requirements to the history."""
    DOCS.mkdir(parents=True, exist_ok=True)
    latest = DOCS / ("latest-peers.md" if options.peers else "latest.md")
    command = "make bench-peers" if options.peers else "make bench"
    if len(options.parts) < (2 if options.peers else 5):
        command += f" PARTS={','.join(options.parts)}"
    latest.write_text(f"# The latest recorded run of `{command}`\n\nWritten by `{command} RECORD=1`; method and limits are in [benchmarks.md](../benchmarks.md).\n\n{page}\n")
    history = DOCS / "history.jsonl"
    line = {
        "begun": facts["begun"], "commit": facts["commit"], "martlet": facts["martlet"], "processor": facts["processor"], "cores": facts["cores"],
        "peers": options.peers,
        "figures": [
            {key: round(value, 4) if isinstance(value, float) else value for key, value in requirement.as_json().items() if key not in ("rounds", "coverage")}
            for requirement in requirements(outcomes)
        ],
    }  # fmt: skip
    with history.open("a") as file:
        file.write(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n")
    return [latest, history]


def conclude(outcomes):
    failed = [requirement for requirement in requirements(outcomes) if requirement.verdict == "FAIL"]
    for requirement in failed:
        print(f"FAIL: {requirement.part}: {requirement.what}: {' '.join(requirement.row()[2:5])}")
    return 1 if failed else 0
