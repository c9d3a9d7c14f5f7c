"""The earlier place of the recorder of training curves: tasks of other packages import `Watch` from here.

Nothing is defined here, and evopo's own code imports `fitness.training.curves`.
"""

from fitness.training.curves import CurveRecorder as Watch

__all__ = ["Watch"]
