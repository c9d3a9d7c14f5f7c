"""The report of a run: `report.html`, one page for a browser."""
