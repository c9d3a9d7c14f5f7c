"""Escapes for invisible characters, so that a text cannot control the program that displays it.

All outputs of this project use it: the terminal (`sandbox.verdicts.terminal`), findings, and the exports and pages of `analysis`.
"""

import unicodedata


def visible(text: str, keep: str = "") -> str:
    """`text` with an escape for each character that has no glyph, except those in `keep`.

    These are Unicode's controls (C0, DEL, C1), format characters (including bidirectional and zero-width ones), line and paragraph
    separators, lone surrogates, private and unassigned code points. Spaces of any width are kept. The function is idempotent.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep or unicodedata.category(c) == "Zs" else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
