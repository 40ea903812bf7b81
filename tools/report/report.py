"""The progress of Bulkhead's tests, from Bazel's own result files.

    tools/bazel test //...
    tools/bazel run //tools/report                          the table in the terminal
    tools/bazel run //tools/report -- --format=markdown     or html; --output=FILE writes a file

Reads test.xml of each target below bazel-testlogs and, with --events, a build event file (--build_event_json_file of
Bazel), which tells also what did not even build. Each test names the requirements it covers with
RecordProperty("requirement", "WS-3,AU-5"); a requirement that no passing test covers is a gap.
"""

import argparse
import dataclasses
import html
import json
import os
import re
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree
from typing import Iterable, Optional, Sequence

# Folder of testing/integration, title, and the least number of tests.
CATEGORIES = (
    ("agent_execution", "Agent execution core", 25),
    ("websocket", "Events and WebSocket", 25),
    ("auth", "Authentication and authorization", 30),
    ("tool_dispatch", "Tool dispatch", 25),
    ("registry", "Registry and factories", 20),
    ("configuration", "Configuration", 20),
    ("data_pipeline", "Data pipelines", 20),
)

# Group of requirements: title, and how many there are. docs/requirements.md describes them.
REQUIREMENTS = (
    ("AE", "agent execution core", 10),
    ("WS", "events and WebSocket", 9),
    ("AU", "auth", 9),
    ("TD", "tools", 9),
    ("RF", "registry and factories", 6),
    ("CF", "configuration", 7),
    ("DP", "data pipelines", 6),
)

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclasses.dataclass(frozen=True)
class Case:
    """One test case of one target."""

    target: str
    name: str
    result: str
    seconds: float
    requirements: tuple[str, ...] = ()

    @property
    def category(self) -> str:
        match = re.match(r"//testing/integration/([^/:]+)", self.target)
        return match.group(1) if match else ""


@dataclasses.dataclass
class Totals:
    tests: int = 0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0

    def add(self, case: Case) -> None:
        self.tests += 1
        self.passed += case.result == PASSED
        self.failed += case.result == FAILED
        self.skipped += case.result == SKIPPED
        self.seconds += case.seconds


def all_requirements() -> list[str]:
    return [f"{group}-{n}" for group, _, count in REQUIREMENTS for n in range(1, count + 1)]


def split_ids(text: str) -> list[str]:
    return [part for part in re.split(r"[\s,;]+", text.strip()) if part]


def parse_xml(target: str, text: str) -> list[Case]:
    """The cases of a test.xml: GoogleTest's own, or the one that Bazel writes for any other test."""
    root = ElementTree.fromstring(text)
    cases = []
    for element in root.iter("testcase"):
        ids: list[str] = split_ids(element.get("requirement", ""))
        for prop in element.iter("property"):
            if prop.get("name") == "requirement":
                ids += split_ids(prop.get("value", ""))
        if element.find("failure") is not None or element.find("error") is not None:
            result = FAILED
        elif (
            element.find("skipped") is not None
            or element.get("status") == "notrun"
            or element.get("result") in ("skipped", "suppressed")
        ):
            result = SKIPPED
        else:
            result = PASSED
        try:
            seconds = float(element.get("time", "0") or 0)
        except ValueError:
            seconds = 0.0
        suite = element.get("classname") or ""
        name = element.get("name", "")
        full = f"{suite}.{name}" if suite and suite != name else name
        cases.append(Case(target, full, result, seconds, tuple(dict.fromkeys(ids))))
    return cases


def read_xml(target: str, path: str) -> list[Case]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            cases = parse_xml(target, file.read())
    except (ElementTree.ParseError, OSError) as error:
        # A test that was killed while writing leaves a torn file: that is a failure, never a silence.
        return [Case(target, f"(unreadable result: {error})", FAILED, 0.0)]
    return cases or [Case(target, "(no test case in its result)", FAILED, 0.0)]


def target_exists(workspace: str, package: str, name: str) -> bool:
    """Whether a BUILD file still declares the target: results of removed tests stay below bazel-testlogs."""
    try:
        with open(os.path.join(workspace, package, "BUILD.bazel"), encoding="utf-8") as file:
            return f'"{name}"' in file.read()
    except OSError:
        return False


def read_testlogs(testlogs: str, workspace: Optional[str]) -> list[Case]:
    """Every case below bazel-testlogs; shards and repeated runs lie in folders below their target's."""
    cases = []
    for folder, folders, files in os.walk(testlogs):
        folders.sort()
        if "test.xml" not in files:
            continue
        relative = os.path.relpath(folder, testlogs).replace(os.sep, "/")
        relative = re.sub(r"(/(shard_\d+_of_\d+|run_\d+_of_\d+)(_\w+)?)+$", "", relative)
        package, _, name = relative.rpartition("/")
        if workspace and not target_exists(workspace, package, name):
            continue
        cases += read_xml(f"//{package}:{name}", os.path.join(folder, "test.xml"))
    return cases


def read_events(path: str) -> list[Case]:
    """Every case of the build that wrote this build event file."""
    cases: list[Case] = []
    with_xml: set[str] = set()
    failed_targets: dict[str, str] = {}
    broken: dict[str, str] = {}
    with open(path, encoding="utf-8") as file:
        lines = file.readlines()
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue  # the last line of a build that was killed
        ident = event.get("id", {})
        if "testResult" in ident:
            label = ident["testResult"]["label"]
            for output in event.get("testResult", {}).get("testActionOutput", []):
                if output.get("name") == "test.xml" and output.get("uri", "").startswith("file://"):
                    xml = urllib.parse.unquote(output["uri"][len("file://") :])
                    cases += read_xml(label, xml)
                    with_xml.add(label)
        elif "testSummary" in ident:
            status = event.get("testSummary", {}).get("overallStatus", "")
            if status not in ("PASSED", "FLAKY", ""):
                failed_targets[ident["testSummary"]["label"]] = status
        elif "targetCompleted" in ident:
            completed = event.get("completed", {})
            if not completed.get("success") and "aborted" not in event:
                broken[ident["targetCompleted"]["label"]] = "failed to build"
            elif event.get("aborted", {}).get("reason") not in (None, "SKIPPED"):
                broken[ident["targetCompleted"]["label"]] = "not built"
        elif "aborted" in event and event["aborted"].get("reason") in ("ANALYSIS_FAILURE", "LOADING_FAILURE"):
            for kind in ident.values():
                if isinstance(kind, dict) and kind.get("label"):
                    broken[kind["label"]] = "failed to load"
    for label, status in failed_targets.items():
        if not any(case.target == label and case.result == FAILED for case in cases):
            # It was killed, timed out or crashed outside of any case.
            cases.append(Case(label, f"({status.lower().replace('_', ' ')})", FAILED, 0.0))
    for label, why in broken.items():
        if label not in with_xml and label not in failed_targets:
            cases.append(Case(label, f"({why})", FAILED, 0.0))
    return cases


def merge_runs(cases: Iterable[Case]) -> list[Case]:
    """One case for each target and name: repeated runs count once, as failed if any of them failed."""
    rank = {PASSED: 0, SKIPPED: 1, FAILED: 2}
    merged: dict[tuple[str, str], Case] = {}
    for case in cases:
        key = (case.target, case.name)
        old = merged.get(key)
        # Of a sharded test, each shard's file lists only what that shard ran, or the rest as skipped.
        if old is None or (old.result == SKIPPED and case.result == PASSED):
            merged[key] = case
        elif old.result == PASSED and case.result == SKIPPED:
            pass
        elif rank[case.result] >= rank[old.result]:
            merged[key] = dataclasses.replace(case, seconds=max(old.seconds, case.seconds))
    return sorted(merged.values(), key=lambda case: (case.target, case.name))


@dataclasses.dataclass
class Report:
    cases: list[Case]

    def totals(self) -> Totals:
        totals = Totals()
        for case in self.cases:
            totals.add(case)
        return totals

    def by_category(self) -> list[tuple[str, str, int, Totals]]:
        rows = []
        for folder, title, goal in CATEGORIES:
            totals = Totals()
            for case in self.cases:
                if case.category == folder:
                    totals.add(case)
            rows.append((folder, title, goal, totals))
        return rows

    def others(self) -> Totals:
        known = {folder for folder, _, _ in CATEGORIES}
        totals = Totals()
        for case in self.cases:
            if case.category not in known:
                totals.add(case)
        return totals

    def coverage(self) -> dict[str, list[Case]]:
        """Each requirement with the passing tests that name it."""
        covered: dict[str, list[Case]] = {ident: [] for ident in all_requirements()}
        for case in self.cases:
            if case.result == PASSED:
                for ident in case.requirements:
                    if ident in covered:
                        covered[ident].append(case)
        return covered

    def gaps(self) -> list[str]:
        return [ident for ident, cases in self.coverage().items() if not cases]

    def unknown_ids(self) -> list[tuple[str, Case]]:
        known = set(all_requirements())
        return [(ident, case) for case in self.cases for ident in case.requirements if ident not in known]

    def failures(self) -> list[Case]:
        return [case for case in self.cases if case.result == FAILED]


# --- printing -----------------------------------------------------------------------------------------------------

HEAD = ("Category", "Tests", "Target", "Passed", "Failed", "Skipped", "Time")


def category_rows(report: Report) -> list[tuple[str, ...]]:
    def row(title: str, goal: str, t: Totals) -> tuple[str, ...]:
        return (title, str(t.tests), goal, str(t.passed), str(t.failed), str(t.skipped), f"{t.seconds:.1f} s")

    rows = [row(title, str(goal), totals) for _, title, goal, totals in report.by_category()]
    rows.append(row("Unit and other tests", "", report.others()))
    goals = sum(goal for _, _, goal in CATEGORIES)
    rows.append(row("All", str(goals), report.totals()))
    return rows


def requirement_rows(report: Report) -> list[tuple[str, str, str]]:
    rows = []
    for ident, cases in report.coverage().items():
        names = ", ".join(sorted({case.name for case in cases})[:3])
        more = len({case.name for case in cases}) - 3
        rows.append((ident, str(len(cases)) if cases else "gap", names + (f" and {more} more" if more > 0 else "")))
    return rows


def summary_lines(report: Report) -> list[str]:
    count = len(all_requirements())
    gaps = report.gaps()
    lines = [f"{count - len(gaps)} of {count} requirements are covered by a passing test."]
    lines.append("Gaps: " + ", ".join(gaps) if gaps else "No gaps.")
    for ident, case in report.unknown_ids():
        lines.append(f"Unknown requirement {ident}, named by {case.target} {case.name}")
    return lines


def as_text(report: Report) -> str:
    rows = [HEAD] + category_rows(report)
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        return "  ".join(cells).rstrip()

    out = [line(rows[0]), "  ".join("-" * width for width in widths)]
    out += [line(row) for row in rows[1:]]
    out += ["", "Requirements"]
    for group, title, count in REQUIREMENTS:
        coverage = report.coverage()
        marks = " ".join(
            f"{ident}:{len(coverage[ident]) or 'gap'}" for ident in (f"{group}-{n}" for n in range(1, count + 1))
        )
        out.append(f"  {title:24}{marks}")
    out += ["", *summary_lines(report)]
    if report.failures():
        out += ["", "Failed"] + [f"  {case.target} {case.name}" for case in report.failures()]
    return "\n".join(out) + "\n"


def as_markdown(report: Report) -> str:
    def cell(text: str) -> str:
        return text.replace("|", "\\|")

    out = ["# Test report", "", "| " + " | ".join(HEAD) + " |", "| --- |" + " ---: |" * (len(HEAD) - 1)]
    out += ["| " + " | ".join(cell(c) for c in row) + " |" for row in category_rows(report)]
    out += ["", "## Requirements", "", *[line + "  " for line in summary_lines(report)], ""]
    out += ["| Requirement | Tests | Covered by |", "| --- | ---: | --- |"]
    out += ["| " + " | ".join(cell(c) for c in row) + " |" for row in requirement_rows(report)]
    if report.failures():
        out += ["", "## Failed", ""] + [f"- `{case.target}` {cell(case.name)}" for case in report.failures()]
    return "\n".join(out) + "\n"


def as_html(report: Report) -> str:
    esc = html.escape

    def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
        out = "<table><thead><tr>" + "".join(f"<th>{esc(c)}</th>" for c in head) + "</tr></thead><tbody>"
        for row in rows:
            mark = ' class="gap"' if "gap" in row else ""
            out += f"<tr{mark}>" + "".join(f"<td>{esc(c)}</td>" for c in row) + "</tr>"
        return out + "</tbody></table>"

    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Bulkhead: test report</title><style>",
        "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}",
        "table{border-collapse:collapse;width:100%}th,td{padding:.3rem .6rem;border-bottom:1px solid #d8dee4;text-align:left}",
        "tr.gap td{background:#fff4e5}tbody tr:last-child td{font-weight:600}.req tbody tr:last-child td{font-weight:inherit}",
        "@media(prefers-color-scheme:dark){body{background:#14171a;color:#e6e8eb}th,td{border-color:#30363d}tr.gap td{background:#3a2a10}}",
        "</style><h1>Test report</h1>",
        table(HEAD, category_rows(report)),
        "<h2>Requirements</h2>",
        "".join(f"<p>{esc(line)}</p>" for line in summary_lines(report)),
        "<div class=req>",
        table(("Requirement", "Tests", "Covered by"), requirement_rows(report)),
        "</div>",
    ]
    if report.failures():
        parts.append("<h2>Failed</h2><ul>")
        parts += [f"<li><code>{esc(case.target)}</code> {esc(case.name)}</li>" for case in report.failures()]
        parts.append("</ul>")
    return "".join(parts) + "</html>\n"


FORMATS = {"text": as_text, "markdown": as_markdown, "html": as_html}


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        prog="tools/bazel run //tools/report --", description="Test progress and requirement coverage."
    )
    parser.add_argument("--format", choices=FORMATS, default="text")
    parser.add_argument("--output", help="write to this file instead of the terminal")
    parser.add_argument("--testlogs", help="Bazel's folder of test results (default: bazel-testlogs)")
    parser.add_argument("--events", help="a build event file: report that build instead of all results at hand")
    parser.add_argument("--totals", action="store_true", help="print only 'N passed, N failed'")
    options = parser.parse_args(argv)

    workspace = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
    here = os.environ.get("BUILD_WORKING_DIRECTORY", os.getcwd())
    if options.events:
        events = os.path.join(here, options.events)
        try:
            cases = read_events(events)
        except OSError as error:
            print(f"report: cannot read {events}: {error.strerror}", file=sys.stderr)
            return 2
    else:
        testlogs = os.path.join(here, options.testlogs or os.path.join(workspace or here, "bazel-testlogs"))
        if not os.path.isdir(testlogs):
            print(f"report: there are no test results in {testlogs}; run  tools/bazel test //...  first", file=sys.stderr)
            return 2
        cases = read_testlogs(testlogs, workspace)
    report = Report(merge_runs(cases))
    totals = report.totals()
    if options.totals:
        skipped = f", {totals.skipped} skipped" if totals.skipped else ""
        text = f"{totals.passed} passed, {totals.failed} failed{skipped}\n"
    elif totals.tests == 0:
        print("report: no test has run yet; run  tools/bazel test //...  first", file=sys.stderr)
        return 2
    else:
        text = FORMATS[options.format](report)
    if options.output:
        with open(os.path.join(here, options.output), "w", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
