"""Text that says what it holds: whatever cannot be seen is written as its escape, so that it can steer nothing that shows it.

Every sink of this project starts from here: the terminal (`sandbox.verdicts.terminal`), findings, and the exports and
pages of `analysis`.
"""

import unicodedata


def visible(text: str, keep: str = "") -> str:
    """`text` with every character that has no glyph of its own written as an escape, those in `keep` excepted.

    That is Unicode's controls (C0, DEL, C1), formats (bidirectional and zero-width among them), line and paragraph separators,
    lone surrogates, private and unassigned code points. Blanks of any width stay. Doing it twice changes nothing more.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep or unicodedata.category(c) == "Zs" else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
