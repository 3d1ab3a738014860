"""A geometry as a function of the position: a chain of joints from the floor to the detector, and its uncertainty.

The IOC evaluates a model, so everything here is plain Python without NumPy. Neither ``sum()`` (compensated from Python
3.12 on) nor ``math.hypot`` is used: only then do the supported Pythons compute the same bits, as far as the C library
and the processor do.
"""

from ponikeeper.geometry.kinematics.chain import Chain
from ponikeeper.geometry.kinematics.joints import AnyJoint, Beam, Rotate, Translate
from ponikeeper.geometry.kinematics.model import Evaluation, Model
from ponikeeper.geometry.kinematics.spans import Reach, Span

__all__ = [
    "AnyJoint",
    "Beam",
    "Chain",
    "Evaluation",
    "Model",
    "Reach",
    "Rotate",
    "Span",
    "Translate",
]
