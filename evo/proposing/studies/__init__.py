"""Studies: operators that train edited forms of one loss on shared seeds, and then propose at most one loss.

A study is a generator: it yields the trials that it wants, is sent their scores, and returns what it proposes. It depends only on
the loss, a random generator, the seeds and these scores, so an interrupted study continues with the recorded scores, and a replay
repeats it from them. Nothing here trains, vets or records; that is `evo.campaign.variants`.
"""

from evo.proposing.studies.choice import due_study, study_of
from evo.proposing.studies.study import STUDY, VERSION, Conclusion, Study, Trial, answer

__all__ = ["STUDY", "VERSION", "Conclusion", "Study", "Trial", "answer", "due_study", "study_of"]
