"""The SQLite file: schema, migrations, connections, and the conversion of values to and from columns.

What is written, and when, is decided in `archive.store` and not here.
"""
