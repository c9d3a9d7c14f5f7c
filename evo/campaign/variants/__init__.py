"""Trainings of edited forms of a candidate: one training (`training`), and studies that propose a loss after many (`study`).

Which forms are trained is not decided here: see `evo.proposing.studies` and `evo.autopsy`.
"""
