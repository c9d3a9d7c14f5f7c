"""The pictures of a run (matplotlib, imported when a picture is drawn)."""
