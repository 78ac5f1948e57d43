"""axe-core, which a page runs on itself to find what keeps people out."""

from pathlib import Path

AXE = (Path(__file__).parent / "axe/axe.min.js").read_text("utf-8")
# Returns what is wrong, a line each
RUN = """async () => (await axe.run(document)).violations.map((v) =>
  `${v.id}: ${v.nodes.map((n) => n.target.join(' ')).join(', ')}`)"""
