"""Runs the fuzz targets, adds up what they did, and fails when one of them found something. Called by Scripts/fuzz, which builds them.

short     ten seconds a target, from the corpus in the repository; part of `make test`
long      TIME or RUNS a target; new inputs are kept in .fuzz/TARGET and are where the next long run goes on
corpus    the smallest set of inputs of both folders that reaches the same, into the repository
coverage  which lines of the parsers the corpus in the repository reaches, by llvm-cov
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from xml.etree import ElementTree

HERE = pathlib.Path(__file__).resolve().parent
KEPT = HERE.parents[1] / ".fuzz"
FINDINGS = KEPT / "findings"

# The longest input, in bytes: where an input is read from its start again and again, short ones find more in the same time.
LENGTHS = {"names": 256, "proxy": 600, "head": 3000}
LENGTH = 2048
# One input may not take longer, in seconds, nor the process more memory, in megabytes.
INPUT_SECONDS = 10
MEMORY_MB = 2500
# How libFuzzer ends when somebody stops it: no finding, but no whole run either.
STOPPED = (72, -2, -15)
# What one file of the corpus, and all of a target, may take in the repository.
CORPUS_FILE_MAX_BYTES = 3000
CORPUS_MAX_FILES = 120

# What the targets are about: of these files `coverage` tells.
SOURCES = {
    "head": ["Path/Edge/Lane", "Path/Edge/RequestFacts", "Path/Edge/RequestTarget", "Path/Edge/ModelCall", "Path/Walk/Walk.swift"],
    "request": ["CScan/request.cpp", "Dialects/OpenAI/OpenAIRequestScanner"],
    "stream": ["CScan/event.c", "Dialects/OpenAI/OpenAIAnswerMeter"],
    "answer": ["Path/Calling/Answer"],
    "meter": ["CScan/answer.c"],
    "settings": ["Settings/"],
    "journal": ["Journal/JournalReader", "Journal/JournalSegment", "Journal/RecordCodec", "Journal/RecordDecoder", "CScan/crc32c.c"],
    "names": [
        "Vocabulary/IPAddress", "Vocabulary/CIDR", "Vocabulary/Glob", "Vocabulary/WallTime", "Vocabulary/Money", "Edge/ProxyRules", "Identity/KeyFormat",
    ],
    "proxy": ["Edge/ProxyProtocol"],
    "management": ["Management/"],
    "simulator": ["Simulator/JSON"],
}  # fmt: skip


def environment(target, **more):
    return {
        **os.environ,
        "MARTLET_FUZZ_TARGET": target,
        # Swift's own backtracer would stop the process that libFuzzer is about to report on.
        "SWIFT_BACKTRACE": "enable=no",
        "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=64",
        **more,
    }


def command(options, target, *arguments):
    found = [str(options.binary), f"-max_len={LENGTHS.get(target, LENGTH)}", f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={MEMORY_MB}"]
    return [*found, f"-dict={HERE / 'dictionaries' / (target + '.dict')}", f"-artifact_prefix={FINDINGS / target}-", *arguments]


def targets_of(options):
    names = subprocess.run([options.binary], env=environment(""), capture_output=True, text=True, check=True).stdout.split()
    chosen = options.targets.split(",") if options.targets else names
    unknown = [name for name in chosen if name not in names]
    if unknown:
        sys.exit(f"there is no target {', '.join(unknown)}; there are {', '.join(names)}")
    return chosen


def fuzz(options, target, folder, limits):
    """One run of a target; what it did."""
    corpus = HERE / "corpus" / target
    log = folder / f"{target}.log"
    new = folder / target
    new.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log.open("wb") as output:
        arguments = command(options, target, f"-seed={options.seed}", "-print_final_stats=1", *limits, str(new), *([str(corpus)] if corpus.is_dir() else []))
        status = subprocess.run(arguments, env=environment(target), stdout=output, stderr=subprocess.STDOUT, cwd=folder).returncode
    text = log.read_text(errors="replace")
    runs = re.findall(r"^stat::number_of_executed_units: (\d+)", text, re.M) or re.findall(r"^#(\d+)\t", text, re.M)
    edges = re.findall(r"\bcov: (\d+)", text)
    return {
        "target": target,
        "status": status,
        "runs": int(runs[-1]) if runs else 0,
        "seconds": time.monotonic() - began,
        "edges": int(edges[-1]) if edges else 0,
        "log": log,
        "text": text,
    }


def show(result):
    line = f"{result['target']:<11} {result['runs']:>10} runs {result['runs'] / max(result['seconds'], 0.1):>8.0f}/s {result['edges']:>6} edges"
    print(line + ("" if result["status"] == 0 else "   STOPPED" if result["status"] in STOPPED else "   FINDING"), flush=True)
    if result["status"] != 0:
        interesting = [text for text in result["text"].splitlines() if re.search(r"Fatal error|ERROR|SUMMARY|Test unit written|Base64", text)]
        print("\n".join("    " + text[:600] for text in interesting[:12]))
        sys.stdout.flush()


def run(options, folder, limits):
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        results = []
        for done in concurrent.futures.as_completed([pool.submit(fuzz, options, target, folder, limits) for target in targets_of(options)]):
            results.append(done.result())
            show(results[-1])
    if options.xunit_output:
        write_xunit(options.xunit_output, results)
    stopped = [result["target"] for result in results if result["status"] in STOPPED]
    found = [result["target"] for result in results if result["status"] != 0 and result["target"] not in stopped]
    print(f"fuzzing: {sum(result['runs'] for result in results)} runs of {len(results)} targets, " + (f"findings in {', '.join(found)}" if found else "no finding"))
    if stopped:
        print(f"stopped before their time: {', '.join(stopped)}")
    if found:
        print(f"the inputs are in {FINDINGS}; MARTLET_FUZZ_TARGET=NAME {options.binary} INPUT runs one of them again")
    return 1 if found or stopped else 0


def write_xunit(path, results):
    suite = ElementTree.Element("testsuite", name="fuzz", tests=str(len(results)), failures=str(sum(result["status"] != 0 for result in results)))
    for result in results:
        case = ElementTree.SubElement(suite, "testcase", classname="fuzz", name=result["target"], time=f"{result['seconds']:.1f}")
        if result["status"] != 0:
            ElementTree.SubElement(case, "failure", message=f"{result['target']} ended with status {result['status']}")
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def short(options):
    with tempfile.TemporaryDirectory(prefix="martlet-fuzz-") as folder:
        status = run(options, pathlib.Path(folder), [f"-max_total_time={options.time or 10}"])
        if status:
            KEPT.mkdir(exist_ok=True)
            for log in pathlib.Path(folder).glob("*.log"):
                shutil.copy(log, KEPT / log.name)
        return status


def long(options):
    # A build meanwhile must not change what runs.
    kept = KEPT / "martlet-fuzz"
    kept.unlink(missing_ok=True)
    options.binary = pathlib.Path(shutil.copy(options.binary, kept))
    limits = [f"-runs={options.runs}"] if options.runs else [f"-max_total_time={options.time or 600}"]
    return run(options, KEPT, limits)


def corpus(options):
    for target in targets_of(options):
        kept = HERE / "corpus" / target
        kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="martlet-fuzz-") as folder:
            sources = [str(place) for place in (kept, KEPT / target) if place.is_dir()]
            merged = pathlib.Path(folder) / "merged"
            merged.mkdir()
            subprocess.run(
                command(options, target, "-merge=1", str(merged), *sources), env=environment(target), stderr=subprocess.DEVNULL, check=True, cwd=folder
            )
            # The small ones come first, so that what is left out for its size costs little.
            files = [path for path in sorted(merged.iterdir(), key=lambda path: path.stat().st_size) if path.stat().st_size <= CORPUS_FILE_MAX_BYTES]
            step = max(1, -(-len(files) // CORPUS_MAX_FILES))
            chosen = {path.name for path in files[::step]}
            for path in kept.iterdir():
                # What was found once is kept for good.
                if not path.name.startswith("finding-") and path.name not in chosen:
                    path.unlink()
            for path in files[::step]:
                if not (kept / path.name).exists():
                    shutil.copy(path, kept / path.name)
        print(f"{target:<11} {len(list(kept.iterdir())):>5} files {sum(path.stat().st_size for path in kept.iterdir()):>8} bytes")
    return 0


def coverage(options):
    with tempfile.TemporaryDirectory(prefix="martlet-fuzz-") as folder:
        for target in targets_of(options):
            raw = pathlib.Path(folder) / f"{target}.profraw"
            subprocess.run(
                [str(options.binary), "-runs=0", str(HERE / "corpus" / target)],
                env=environment(target, LLVM_PROFILE_FILE=str(raw)), stderr=subprocess.DEVNULL, check=True, cwd=folder,
            )  # fmt: skip
            data = raw.with_suffix(".profdata")
            subprocess.run([str(options.tools / "llvm-profdata"), "merge", "-o", str(data), str(raw)], check=True)
            report = subprocess.run(
                [str(options.tools / "llvm-cov"), "report", str(options.binary), f"-instr-profile={data}"], capture_output=True, text=True, check=True
            ).stdout
            for line in report.splitlines():
                fields = line.split()
                # Name, regions, missed, covered; functions, missed, executed; lines, missed, covered; branches.
                if len(fields) >= 10 and any(place in fields[0] for place in SOURCES.get(target, [])) and int(fields[7]) > int(fields[8]):
                    print(f"{target:<11} {re.sub('^.*Sources/', '', fields[0]):<55} {int(fields[7]) - int(fields[8]):>4} of {int(fields[7]):>4} lines, {fields[9]}")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["short", "long", "corpus", "coverage"])
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--tools", type=pathlib.Path, required=True, help="where llvm-cov is")
    parser.add_argument("--targets", help="names with commas between them; all of them without")
    parser.add_argument("--time", type=int, help="seconds a target")
    parser.add_argument("--runs", type=int, help="runs a target, instead of a time")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at the same time")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time; it is in the log")
    parser.add_argument("--xunit-output", type=pathlib.Path, help="where the results go as JUnit's XML")
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    FINDINGS.mkdir(parents=True, exist_ok=True)
    return {"short": short, "long": long, "corpus": corpus, "coverage": coverage}[options.mode](options)


if __name__ == "__main__":
    sys.exit(main())
