"""What the documentation site adds to docs/: the pages at the top of the checkout, and a reference from the docstrings.

The reference is found by walking the package, so that no module is listed by hand. Links that leave docs/ lead to the
same page of the site, or else to the file in the repository; those that lead nowhere are left for MkDocs to report.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
TOP = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
"""Files at the top of the checkout, and what they are called on the site."""
LINK = re.compile(r'(?P<before>\]\(|\bsrc="|\bhref=")(?P<target>[^)#:\s"]+)(?P<after>[#)"\s])')


def modules(root: Path = ROOT) -> list[str]:
    """The names of all public modules of the package, in alphabetical order."""
    source = root / "src"
    names = []
    for path in sorted((source / "inversynth").rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if not any(part.startswith("_") for part in parts):
            names.append(".".join(parts))
    return sorted(names)


def page_of(module: str) -> str:
    """Where the reference of a module is on the site."""
    return f"reference/{module}.md"


def moved(markdown: str, source: str, repository: str) -> str:
    """A page whose links are right on the site; `source` is its file, relative to the checkout."""

    def target(match: re.Match[str]) -> str:
        given = match["target"]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), given))
        if path.startswith("docs/"):
            here = posixpath.dirname(TOP.get(source, source.removeprefix("docs/"))) or "."
            new = posixpath.relpath(path.removeprefix("docs/"), here)
        elif path in TOP:
            here = posixpath.dirname(TOP.get(source, source.removeprefix("docs/"))) or "."
            new = posixpath.relpath(TOP[path], here)
        elif (ROOT / path).exists() and not path.startswith(".."):
            new = f"{repository}/{'tree' if (ROOT / path).is_dir() else 'blob'}/main/{path}"
        else:
            new = given
        return f"{match['before']}{new}{match['after']}"

    return LINK.sub(target, markdown)


# -- called by MkDocs ------------------------------------------------------------------------------


def on_config(config: Any) -> Any:
    """Adds the reference to the navigation."""
    rooms: dict[str, list[Any]] = {}
    for module in modules():
        room = ".".join(module.split(".")[:2])
        rooms.setdefault(room, []).append(page_of(module) if module == room else {module: page_of(module)})
    reference = [{room: pages if len(pages) > 1 else pages[0]} for room, pages in rooms.items()]
    config.nav.append({"Reference": reference})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that aren't in docs/."""
    for source, page in TOP.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for module in modules():
        files.append(File.generated(config, page_of(module), content=f"# {module}\n\n::: {module}\n"))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Leads the links of a page to where they are on the site."""
    names = {site: source for source, site in TOP.items()}
    source = names.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return moved(markdown, source, config.repo_url.rstrip("/"))
