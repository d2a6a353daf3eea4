"""The house is a star: imports point downwards only, and each heavy library has one door."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("imagineer", "gallery", "templates_app", "scraping", "labeling", "training")

# From top to bottom. A module belongs to the first entry that its name starts with.
LAYERS = [
    ("siblings", ("templates_app", "scraping", "labeling", "training")),
    ("library", ("gallery",)),
    (
        "cellar",
        (
            "imagineer.accounts",
            "imagineer.jobs",
            "imagineer.api",
            "imagineer.client",
            "imagineer.once",
            "imagineer.outages",
            "imagineer.own_changes",
        ),
    ),
    (
        "leaves",
        (
            "imagineer.engine",
            "imagineer.net",
            "imagineer.env",
            "imagineer.logs",
            "imagineer.starter_model",
            "imagineer.upgrade",
        ),
    ),
    ("roof", ("imagineer",)),
]
RANK = {"roof": 0, "siblings": 1, "library": 2, "cellar": 3, "leaves": 4}

# library: the only modules that may import it
DOORS = {
    "torch": ("imagineer.engine", "imagineer.starter_model"),
    "diffusers": ("imagineer.engine", "imagineer.starter_model"),
    "transformers": ("imagineer.engine", "imagineer.starter_model"),
    "peft": ("imagineer.engine", "imagineer.starter_model"),
    "django_q": ("imagineer.jobs",),
    "anthropic": ("labeling.backends.claude",),
    "httpx": ("imagineer.net",),
    "requests": (),
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield module_name(path), path


def layer(module: str) -> str | None:
    for name, prefixes in LAYERS:
        if any(module == prefix or module.startswith(prefix + ".") for prefix in prefixes):
            return name
    return None


def imports_of(module: str, path: Path):
    """(name, line) of every import, at the top or inside a function, relative ones resolved."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            yield base, node.lineno
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno


def test_imports_point_downwards_only():
    wrong = []
    for module, path in sources():
        mine = layer(module)
        for imported, line in imports_of(module, path):
            theirs = layer(imported)
            if theirs is None or (theirs == "roof" and imported == "imagineer"):
                continue
            same_room = module.split(".")[0] == imported.split(".")[0]
            sideways = mine == theirs == "siblings" and not same_room
            if RANK[theirs] < RANK[mine] or sideways:
                wrong.append(f"{path.relative_to(ROOT)}:{line} ({mine}) imports {imported} ({theirs})")
    assert not wrong, "\n".join(wrong)


def test_each_heavy_library_has_one_door():
    wrong = []
    for module, path in sources():
        for imported, line in imports_of(module, path):
            doors = DOORS.get(imported.split(".")[0])
            if doors is not None and not any(
                module == door or module.startswith(door + ".") for door in doors
            ):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {imported}")
    assert not wrong, "\n".join(wrong)


def test_every_limit_counts_networks_in_one_step():
    """Django REST framework's own throttles lose count among processes and take one IPv6 subscriber for many."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for module, path in sources()
        for imported, line in imports_of(module, path)
        if imported.startswith("rest_framework.throttling") and module != "imagineer.api"
    ]
    assert not wrong, f"Use imagineer.api.NetworkThrottle: {wrong}"


def test_the_engine_knows_no_django():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {imported}"
        for module, path in sources()
        if layer(module) == "leaves" and not module.startswith("imagineer.logs")
        for imported, line in imports_of(module, path)
        if imported.split(".")[0] in ("django", "rest_framework")
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_is_called_utils_or_holds_more_than_400_lines():
    wrong = [
        str(path.relative_to(ROOT))
        for _module, path in sources()
        if path.stem in ("utils", "helpers", "common", "misc") or len(path.read_text().splitlines()) > 400
    ]
    assert not wrong, "\n".join(wrong)


def test_dangerous_calls_stand_nowhere():
    calls = {
        "eval",
        "exec",
        "torch.load",
        "pickle.load",
        "pickle.loads",
        "yaml.load",
        "os.system",
        "marshal.loads",
    }
    wrong = []
    for _module, path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                shell = any(
                    word.arg == "shell" and ast.unparse(word.value) == "True" for word in node.keywords
                )
                if name in calls or shell:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} calls {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("start", ["import django; django.setup()", "import imagineer.wsgi"])
def test_the_web_process_never_loads_the_network(start, tmp_path):
    heavy = ["torch", "diffusers", "transformers", "peft", "accelerate", "anthropic"]
    program = (
        f"{start}\nimport sys\nfrom django.urls import get_resolver\nget_resolver().url_patterns\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr


@pytest.mark.django_db
def test_the_migrations_say_what_the_models_say():
    from django.core.management import call_command

    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_each_app_has_one_last_migration():
    from django.db.migrations.loader import MigrationLoader

    conflicts = MigrationLoader(None).detect_conflicts()
    assert not conflicts, conflicts
