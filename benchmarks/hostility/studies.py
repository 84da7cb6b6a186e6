"""Study files nobody should have to trust: valid ones, shipped ones with something changed, and attacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from bakeoff.catalog.networks.named import NETWORKS
from bakeoff.study.load import list_shipped

Kind = Literal["valid", "near-valid", "hostile"]


@dataclass(frozen=True)
class StudyFile:
    """One study file: how it was made, and its bytes."""

    kind: Kind
    content: bytes


NAMES = tuple(name for name in NETWORKS.names if name != "layers")
RATES = st.floats(1e-6, 1.0, allow_nan=False)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "network": st.sampled_from(NAMES),
    "initializer": st.sampled_from(("he_normal", "glorot_uniform", "orthogonal", "lecun_normal")),
    "optimizer": st.sampled_from(("sgd", "adam", "adamw", "rmsprop", "adagrad")),
    "optimizer.learning_rate": RATES,
    "batch_size": st.integers(1, 512),
    "epochs": st.integers(1, 300),
}
DATASETS = ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100")

HUGE = ("1e400", "-1e400", "9" * 4000, "9" * 5000, "0x" + "f" * 5000, "-0o7777777777777777777777", "1" + "0" * 30)
ODD = (".nan", ".inf", "-.inf", "~", "''", "[]", "{}", "true", "-0", "2020-01-01", "0.1.2", "*a", "&a b", "!!int x")
TAGS = (
    "!!python/object/apply:os.system ['true']",
    "!!binary aGk=",
    "!!set {x}",
    "!own {a: 1}",
    "!!python/name:os.x",
)
TEXTS = (
    *('"\\0"', '"\\e[2J\\e[31m"', '"\\u202e"', '"\\ud800"', '"a\\nb\\rc"', '"\\u2028"', '"\\a"', "../../etc/passwd"),
    *("/dev/zero", "/dev/stdin", "..", "C:\\con", "~root/x", "file:///etc/passwd", "os:system", "a.b.c:D", "'; DROP'"),
    *(
        "<script>alert(1)</script>",
        "{{7*7}}",
        "%s%n",
        "$(reboot)",
        "x" * 5000,
        "\U0001f600" * 300,
        "timm:../../x",
    ),
)
ATOMS = (*HUGE, *ODD, *TAGS, *TEXTS)
KEYS = (
    "k" * 5000,
    '"\\0"',
    '"\\e[2J"',
    '"\\u202e"',
    "? [a, b]",
    "<<",
    "''",
    "recipe.a.x",
    "__class__",
    "'.'",
    "-1",
)


def nest(depth: int, style: str) -> str:
    """Return mappings or lists inside each other."""
    if style == "list":
        return "[" * depth + "]" * depth
    if style == "mapping":
        return "{a: " * depth + "1" + "}" * depth
    return "\n".join(f"{'  ' * level}a:" for level in range(min(depth, 400)))


def laugh(levels: int, width: int) -> str:
    """Return a billion laughs: aliases of aliases."""
    lines = ["a0: &a0 [lol, lol]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]" for level in range(1, levels)]
    return "\n".join(lines)


def cross(axes: int, values: int) -> str:
    """Return arms that are the product of many axes."""
    fields = ("epochs", "batch_size", "optimizer.learning_rate", "accumulate", "network.dropout", "network.kernel")
    listed = ", ".join(str(number) for number in range(1, values + 1))
    lines = "\n".join(f"- {field}: [{listed}]" for field in fields[:axes])
    return f"question: q\nrecipe: {{network: mlp}}\narms:\n{lines}\n"


def chain(length: int) -> str:
    """Return cases that build on each other."""
    cases = ", ".join(f"a{n}: {{from: a{n - 1}, epochs: {n}}}" for n in range(1, length))
    return f"question: q\nrecipe: {{network: mlp}}\narms:\n- {{a0: {{epochs: 1}}, {cases}}}\n"


@st.composite
def valid(draw: st.DrawFn) -> bytes:
    """Draw a study that most often can be planned; not always: a network may not fit its images."""
    names = draw(st.lists(st.sampled_from(sorted(set(FIELDS) - {"network"})), min_size=1, max_size=2, unique=True))
    arms = [{name: draw(st.lists(FIELDS[name], min_size=2, max_size=4, unique=True))} for name in names]
    study = {
        "question": draw(st.text("abc ?é", min_size=1, max_size=60)) + "?",
        "data": {"name": draw(st.sampled_from(DATASETS)), "validation": draw(st.sampled_from((0.1, 0.2, 0.5)))},
        "recipe": {"network": draw(FIELDS["network"]), "epochs": draw(st.integers(1, 9))},
        "arms": arms,
        "replicates": draw(st.integers(1, 20)),
        "seed": draw(st.integers(0, 2**63 - 1)),
    }
    return yaml.safe_dump(study, sort_keys=False, allow_unicode=True).encode()


@st.composite
def near_valid(draw: st.DrawFn) -> bytes:
    """Draw a shipped study with some of its text changed: letters, words, lines, indents."""
    text = draw(st.sampled_from([shipped.path.read_text(encoding="utf-8") for shipped in list_shipped()]))
    for _ in range(draw(st.integers(1, 6))):
        lines = text.split("\n")
        number = draw(st.integers(0, len(lines) - 1))
        line = lines[number]
        position = draw(st.integers(0, len(line)))
        change = draw(st.sampled_from(("drop", "repeat", "indent", "letter", "cut", "atom", "swap", "key")))
        match change:
            case "drop":
                lines[number : number + 1] = []
            case "repeat":
                lines.insert(number, line)
            case "indent":
                lines[number] = draw(st.sampled_from(("  ", "\t", " ", "- "))) + line
            case "letter":
                lines[number] = line[:position] + draw(st.characters(codec="utf-8")) + line[position + 1 :]
            case "cut":
                lines[number] = line[:position]
            case "atom":
                lines[number] = line.partition(":")[0] + ": " + draw(st.sampled_from(ATOMS))
            case "key":
                lines[number] = draw(st.sampled_from(KEYS)) + ":" + line.partition(":")[2]
            case _:
                other = draw(st.integers(0, len(lines) - 1))
                lines[number], lines[other] = lines[other], lines[number]
        text = "\n".join(lines) or " "
    return text.encode("utf-8", "surrogatepass")


@st.composite
def hostile(draw: st.DrawFn) -> bytes:
    """Draw an attack."""
    kind = draw(
        st.sampled_from(("nest", "laugh", "cross", "chain", "atom", "keys", "bytes", "encoding", "self", "code"))
    )
    match kind:
        case "nest":
            depth = draw(st.sampled_from((25, 31, 35, 1000, 100_000)))
            return f"recipe: {nest(depth, draw(st.sampled_from(('list', 'mapping'))))}".encode()
        case "laugh":
            return laugh(draw(st.integers(3, 30)), draw(st.integers(2, 20))).encode()
        case "cross":
            return cross(draw(st.integers(1, 6)), draw(st.sampled_from((2, 100, 1000)))).encode()
        case "chain":
            return chain(draw(st.sampled_from((3, 29, 32, 300)))).encode()
        case "keys":
            return "".join(f"k{number % 700}: 1\n" for number in range(draw(st.integers(1, 3000)))).encode()
        case "bytes":
            return draw(st.binary(max_size=300))
        case "encoding":
            text = draw(valid()).decode()
            codec = draw(st.sampled_from(("utf-16", "utf-32", "utf-8-sig", "utf-7", "cp500", "utf-16-le")))
            return text.encode(codec, "replace")
        case "self":
            return b"question: q\nrecipe: &a {network: *a}\narms: [*a, {epochs: [1, 2]}]\n"
        case "code":
            name = draw(st.sampled_from(("os:system", "subprocess:Popen", "builtins:exec", "a.b:C", "..x:Y", ":")))
            return f"question: q\nrecipe: {{network: '{name}'}}\narms: [{{epochs: [1, 2]}}]\n".encode()
    return draw(_poisoned())


@st.composite
def _poisoned(draw: st.DrawFn) -> bytes:
    """Draw a sound study with an atom in one of its places."""
    field = draw(st.sampled_from((*FIELDS, "network.units", "augmentation", "schedule", "transfer", "mix")))
    top = draw(st.sampled_from(("question", "name", "seed", "replicates", "numeric", "decide", "blocks", "search")))
    atom, other = draw(st.sampled_from(ATOMS)), draw(st.sampled_from(ATOMS))
    place = draw(st.sampled_from(("recipe", "arm", "case", "key", "top", "data")))
    arms = {
        "arm": f"- {field}: [{atom}, {other}]",
        "case": f"- {{a: {{{field}: {atom}}}, b: {{from: {other}}}}}",
        "key": f"- {{{draw(st.sampled_from(KEYS))}: [1, 2]}}",
    }.get(place, "- epochs: [1, 2]")
    recipe = f"{{network: mlp, {field}: {atom}}}" if place == "recipe" else "{network: mlp}"
    data = f"{{{draw(st.sampled_from(('name', 'folder', 'manifest', 'folds', 'classes', 'image_size')))}: {atom}}}"
    lines = ["question: q", f"recipe: {recipe}", "arms:", arms]
    lines += [f"{top}: {atom}"] if place == "top" else [f"data: {data}"] if place == "data" else []
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def draw_studies(count: int, number: int) -> Iterator[StudyFile]:
    """Yield study files, a third of each kind; the same ones for the same `number`."""
    for kind, strategy in (("valid", valid()), ("near-valid", near_valid()), ("hostile", hostile())):
        found: list[bytes] = []
        wanted = settings(
            max_examples=count // 3 + 1,
            phases=[Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )

        @seed(number)
        @wanted
        @given(strategy)
        def collect(content: bytes) -> None:
            found.append(content)  # noqa: B023 (called in this turn of the loop)

        collect()
        yield from (StudyFile(kind, content) for content in found)
