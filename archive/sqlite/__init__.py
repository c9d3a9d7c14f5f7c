"""The SQLite file: schema, migrations, connections, and the conversion of values to and from columns."""
