"""How the results look: terminal, progress, Markdown and JSON, made from plain records."""
