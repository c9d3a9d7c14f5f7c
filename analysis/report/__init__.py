"""report.html: one page that says what a run found."""
