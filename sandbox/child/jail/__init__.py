"""Isolation of a process that reads hostile source, and the zygote program that forks such processes.

`sandbox.vetting.zygote` in the parent process starts that program.
Checks no source and traces nothing itself.
"""
