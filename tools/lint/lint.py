"""The lint of the source tree: rules that neither compiler nor clang-format can hold.

    lint.py TREE          checks the files below a folder
    lint.py --tar FILE    checks the files in an archive

Each finding names the place, what is wrong and what would be right. The exit code is 1 if there is any.
"""

import dataclasses
import os
import re
import sys
import tarfile
from typing import Callable, Iterable, Iterator, Sequence

CPP = (".h", ".cc", ".hpp", ".cpp", ".c")
BUILD_NAMES = ("BUILD", "BUILD.bazel")


@dataclasses.dataclass(frozen=True)
class Finding:
    path: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: [{self.rule}] {self.message}"


@dataclasses.dataclass(frozen=True)
class Rule:
    """A pattern that must not occur in a line of certain files."""

    name: str
    pattern: re.Pattern
    message: str
    # Which files it looks at.
    applies: Callable[[str], bool]
    # Folders and files where the pattern is at home.
    allowed: Sequence[str] = ()
    # Look at the line without its comments and the text of its string literals.
    code_only: bool = True

    def looks_at(self, path: str) -> bool:
        return self.applies(path) and not any(
            re.match(pattern, path) for pattern in self.allowed
        )


def is_cpp(path: str) -> bool:
    return path.endswith(CPP)


def is_build(path: str) -> bool:
    return path.rsplit("/", 1)[-1] in BUILD_NAMES or path.endswith(".bzl")


def is_any(path: str) -> bool:
    return True


# The third-party overlays and the smoke tests of the build touch each library on purpose.
SMOKE = r"tools/smoke/"
# The lint's own files hold each pattern that it looks for.
SELF = r"tools/lint/"

RULES = (
    Rule(
        "no-sleep",
        re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep|SleepFor|AbslInternalSleepFor)\s*\("),
        "sleeping makes code slow and tests flaky; wait for the event itself, or use the Clock of "
        "services/common/time",
        is_cpp,
        (r"services/common/time/",),
    ),
    Rule(
        "no-wall-clock",
        re.compile(
            r"\babsl::Now\s*\(|\b(system_clock|steady_clock|high_resolution_clock)::now\s*\("
            r"|\b(clock_gettime|gettimeofday)\s*\("
        ),
        "time comes from the Clock that was passed in (services/common/time), so that a test can move it",
        is_cpp,
        (r"services/common/time/", SMOKE),
    ),
    Rule(
        "no-randomness",
        re.compile(r"\bstd::(random_device|mt19937(_64)?)\b|\b(s?rand)\s*\(\s*\)|\bgetrandom\s*\("),
        "randomness comes from services/common/crypto (secrets) or the id generator that was passed in",
        is_cpp,
        (r"services/common/crypto/", r"services/common/ids/", r"testing/"),
    ),
    Rule(
        "no-getenv",
        re.compile(r"\b(secure_)?getenv\s*\("),
        "nothing reads the process environment but services/common/config; take the isolated Environment",
        is_cpp,
        # The harness takes the choice of in-process or TCP from the test runner.
        (r"services/common/config/", r"testing/harness/harness\.cc$"),
    ),
    Rule(
        "crypto-headers",
        re.compile(r"#\s*include\s*[<\"]openssl/"),
        "BoringSSL stays behind services/common/crypto; use its types",
        is_cpp,
        (r"services/common/crypto/", SMOKE),
    ),
    Rule(
        "sqlite-headers",
        re.compile(r"#\s*include\s*[<\"]sqlite3(ext)?\.h"),
        "SQLite stays behind services/common/storage; use its types",
        is_cpp,
        (r"services/common/storage/", SMOKE),
    ),
    Rule(
        "grpc-headers",
        re.compile(r"#\s*include\s*[<\"](grpcpp?/|[^>\"]*\.grpc\.pb\.h)"),
        "gRPC's types stay in *_service.{h,cc}, services/common/rpc and the composition root; the core returns "
        "absl::Status",
        is_cpp,
        (
            r"services/common/rpc/",
            r"services/common/status/",
            r"services/bulkhead/",
            r"testing/",
            SMOKE,
            r".*_service\.(h|cc)$",
            r".*_service_test\.cc$",
            # What the *_service files of a service share, and the one file that holds the gateway's stubs.
            r"services/[a-z]+/adapters\.(h|cc)$",
            r"services/gateway/backend\.cc$",
        ),
    ),
    Rule(
        "no-mocks",
        re.compile(r"\bMOCK_METHOD\b"),
        "tests run the real thing, or a small fake with a test of its own",
        is_cpp,
    ),
    Rule(
        "no-disabled-tests",
        re.compile(r"\bTEST(_F|_P)?\s*\([^,]*,\s*DISABLED_|\bDISABLED_\w+\s*\)"),
        "a test runs, or it goes",
        is_cpp,
    ),
    Rule(
        "no-exceptions-thrown",
        re.compile(r"(^|[^\w:.])throw\s+[\w:]"),
        "no exceptions across our interfaces: return absl::Status",
        lambda path: is_cpp(path) and path.startswith("services/"),
        # An agent that throws is one of the faults that tests inject. operator new has no other way to fail.
        (r".*_test\.cc$", r"services/common/runtime/heap_account\.cc$"),
    ),
    Rule(
        "test-tags",
        re.compile(r"[\"'](manual|exclusive|exclusive-if-local|local|no-sandbox|requires-network|no-cache)[\"']|\bflaky\s*="),
        "every test runs in the sandbox, with all others, each time; mend the test instead",
        lambda path: is_build(path),
        (r"tools/build_defs/test\.bzl$", SELF),
        code_only=False,
    ),
    Rule(
        "plain-cc-test",
        re.compile(r"^\s*(native\.)?cc_test\s*\("),
        "use bulkhead_cc_test of //tools/build_defs:test.bzl",
        is_build,
        (r"tools/build_defs/",),
        code_only=False,
    ),
    Rule(
        "no-globs",
        re.compile(r"\bglob\s*\("),
        "name each source, so that adding a file is a decision",
        lambda path: path.rsplit("/", 1)[-1] in BUILD_NAMES,
        code_only=False,
    ),
    Rule(
        "no-machine-paths",
        re.compile(r"(^|[^\w.$}{)/-])/(work|root|home|opt|farm)/\w"),
        "a path of one machine; take it from a flag, the runfiles or the test's own folder",
        is_any,
        (SELF,),
        code_only=False,
    ),
    Rule(
        "no-registry-hosts",
        re.compile(
            r"https?://(deb|registry|mirrors?|ftp|archive|security|snapshot|proxy|files|pypi)\.[a-z]", re.IGNORECASE
        ),
        "where packages come from is the host's own configuration, never the repository's",
        is_any,
        (SELF,),
        code_only=False,
    ),
    Rule(
        "no-unfinished-work",
        re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b"),
        "finish it, or file it",
        lambda path: path.startswith(("services/", "proto/", "testing/", "tools/")),
        (SELF, r"\.clang-tidy$"),
        code_only=False,
    ),
)

# --- layering -------------------------------------------------------------------------------------------------

# What each layer may see below services/, besides itself and services/common.
SERVICES = ("auth", "agent", "tool", "notifier")


def layer_of(path: str) -> str:
    """The layer a path of the tree belongs to: proto, common, a service, gateway, bulkhead, testing, or other."""
    parts = path.split("/")
    if parts[0] == "services" and len(parts) > 1:
        return parts[1]
    return parts[0] if parts[0] in ("proto", "testing", "tools") else "other"


def may_depend(source: str, target: str) -> bool:
    if source == target or source in ("testing", "tools", "other", "bulkhead"):
        return True
    if target in ("testing", "tools"):
        return False
    if source == "proto":
        return False
    if source == "common":
        return target == "proto"
    if source in SERVICES or source == "gateway":
        return target in ("proto", "common")
    return True


def why_not(source: str, target: str) -> str:
    if target == "testing":
        return "production code never depends on testing/"
    if source in SERVICES and target in SERVICES:
        return f"a service sees another service's stub only: proto/bulkhead/{target}/v1, not services/{target}"
    return (
        "dependencies point one way: proto <- services/common <- services/X <- services/gateway <- "
        f"services/bulkhead; {source} may not see {target}"
    )


INCLUDE = re.compile(r'^\s*#\s*include\s*"((?:services|testing|tools)/[^"]+)"')
LABEL = re.compile(r'"//((?:proto|services|testing|tools)(?:/[^":]*)?)(?::[^"]*)?"')


def check_layers(path: str, lines: Sequence[str]) -> Iterator[Finding]:
    source = layer_of(path)
    is_test = bool(re.search(r"_(test|benchmark)\.cc$|_test_fixture\.h$", path))
    if is_cpp(path):
        for number, line in enumerate(lines, 1):
            match = INCLUDE.match(line)
            if match:
                target = layer_of(match.group(1))
                if target == "testing" and is_test:
                    continue
                if not may_depend(source, target):
                    yield Finding(path, number, "layering", why_not(source, target))
    elif path.rsplit("/", 1)[-1] in BUILD_NAMES:
        for number, rule, attribute, line in build_lines(lines):
            if attribute != "deps":
                continue
            testonly = rule in ("bulkhead_cc_test", "bulkhead_cc_fuzz_test", "bulkhead_cc_benchmark", "testonly")
            for match in LABEL.finditer(line):
                target = layer_of(match.group(1))
                if testonly and target == "testing":
                    continue
                if not may_depend(source, target):
                    yield Finding(path, number, "layering", why_not(source, target))


def build_lines(lines: Sequence[str]) -> Iterator[tuple[int, str, str, str]]:
    """Each line of a BUILD file with the rule and the attribute it belongs to. Reads the usual layout only."""
    testonly_rules = set()
    rule_index = -1
    starts = []
    for line in lines:
        if re.match(r"^(\w+)\($", line):
            rule_index += 1
        starts.append(rule_index)
        if re.match(r"^    testonly\s*=\s*True", line):
            testonly_rules.add(rule_index)
    rule = ""
    attribute = ""
    for number, line in enumerate(lines, 1):
        start = re.match(r"^(\w+)\(", line)
        if start:
            rule = start.group(1)
            attribute = ""
        inner = re.match(r"^    (\w+)\s*=", line)
        if inner:
            attribute = inner.group(1)
        kind = "testonly" if starts[number - 1] in testonly_rules else rule
        yield number, kind, attribute, line


# --- names and guards -------------------------------------------------------------------------------------------


def check_guard(path: str, lines: Sequence[str]) -> Iterator[Finding]:
    if not path.endswith(".h") or path.startswith("tools/deps/"):
        return
    guard = re.sub(r"[^A-Z0-9]", "_", path.upper()) + "_"
    if not any(line.strip() == f"#ifndef {guard}" for line in lines):
        yield Finding(path, 1, "header-guard", f"the header guard should be {guard}")


def check_build_file(path: str, lines: Sequence[str]) -> Iterator[Finding]:
    if path.rsplit("/", 1)[-1] == "BUILD":
        yield Finding(path, 1, "build-name", "name it BUILD.bazel, as all others")


# --- running ------------------------------------------------------------------------------------------------------

STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def strip_cpp(lines: Sequence[str]) -> list[str]:
    """The lines without comments and without the text of string literals; #include lines stay whole."""
    out = []
    in_block = False
    for line in lines:
        if in_block:
            end = line.find("*/")
            if end < 0:
                out.append("")
                continue
            line = line[end + 2 :]
            in_block = False
        if re.match(r"^\s*#\s*include", line):
            out.append(line)
            continue
        line = STRING.sub('""', line)
        line = re.sub(r"/\*.*?\*/", "", line)
        start = line.find("/*")
        if start >= 0:
            line = line[:start]
            in_block = True
        cut = line.find("//")
        out.append(line[:cut] if cut >= 0 else line)
    return out


def check_file(path: str, text: str) -> list[Finding]:
    lines = text.split("\n")
    code = strip_cpp(lines) if is_cpp(path) else lines
    findings = []
    for rule in RULES:
        if not rule.looks_at(path):
            continue
        for number, line in enumerate(code if rule.code_only else lines, 1):
            if rule.pattern.search(line):
                findings.append(Finding(path, number, rule.name, rule.message))
    for check in (check_layers, check_guard, check_build_file):
        findings.extend(check(path, lines))
    return findings


TEXT = CPP + (
    ".proto", ".bazel", ".bzl", ".BUILD", ".py", ".sh", ".md", ".html", ".css", ".js", ".json", ".txt", ".yaml", ".toml",
)


def is_text(path: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    return path.endswith(TEXT) or "." not in name or name.startswith(".")


def read_tree(root: str) -> Iterator[tuple[str, bytes]]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(
            f for f in folders if not f.startswith(("bazel-", "__pycache__", "node_modules")) and f != ".git"
        )
        for name in sorted(files):
            full = os.path.join(folder, name)
            path = os.path.relpath(full, root)
            if is_text(path) and not os.path.islink(full):
                with open(full, "rb") as file:
                    yield path, file.read()


def read_tar(archive: str) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and is_text(member.name):
                yield member.name, tar.extractfile(member).read()


def check_all(files: Iterable[tuple[str, bytes]]) -> tuple[int, list[Finding]]:
    count = 0
    findings = []
    for path, data in files:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            # Test data may be broken on purpose; sources may not.
            if is_cpp(path) or is_build(path) or path.endswith(".proto"):
                findings.append(Finding(path, 1, "utf-8", "sources are UTF-8"))
            continue
        if "/testdata/" in path or path.endswith((".csv", ".jsonl")):
            continue
        count += 1
        findings.extend(check_file(path, text))
    return count, findings


def main(argv: Sequence[str]) -> int:
    if len(argv) == 3 and argv[1] == "--tar":
        files = read_tar(argv[2])
    elif len(argv) == 2 and not argv[1].startswith("-"):
        files = read_tree(argv[1])
    else:
        print(__doc__, file=sys.stderr)
        return 2
    count, findings = check_all(files)
    for finding in findings:
        print(finding)
    print(f"lint: {count} files, {len(findings)} findings")
    if count == 0:
        print("lint: found no file to check", file=sys.stderr)
        return 1
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
