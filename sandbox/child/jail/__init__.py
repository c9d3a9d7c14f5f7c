"""The isolation of one process that is about to read hostile source, and the program that forks such processes.

The parent's side, which starts that program, is `sandbox.vetting.zygote`.
"""
