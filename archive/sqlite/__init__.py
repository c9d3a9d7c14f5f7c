"""The SQLite file: schema, migrations, connections, and how values cross into it and back."""
