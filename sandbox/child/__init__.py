"""Code of the jailed child, which checks and traces a candidate's source and answers with data.

The rest of the sandbox does not trust its results, and nothing here imports torch. The trusted process may read the tables
(`allowlist`, `protocol`), but never calls the checks.
"""
