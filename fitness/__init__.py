"""Training: tasks, the processes that train, the schedule of trainings, and the client of chat endpoints.

Takes verified graphs and returns scores. It reads and writes no archive, and never sees a candidate's source.
"""
