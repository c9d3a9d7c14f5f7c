"""What runs in the jailed child: it reads a candidate's source, checks it, traces it and answers with data.

Nothing here is trusted by the rest of the sandbox, and nothing here imports torch. The trusted process may read the tables
(`allowlist`, `protocol`), never call the checks.
"""
