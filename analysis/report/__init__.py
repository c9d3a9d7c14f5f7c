"""The report of a run: `report.html`, one page for a browser.

Layout and wording of the page; no comparison is made here but in `analysis.claims`.
"""
