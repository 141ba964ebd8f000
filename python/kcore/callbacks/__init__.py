"""Callbacks: told what happens during training, and able to act on it."""

from .callback import Callback, CallbackList
from .checkpoints import BackupAndRestore, ModelCheckpoint
from .learning_rate import LearningRateScheduler
from .loggers import BaseLogger, CSVLogger, History, LambdaCallback, ProgbarLogger, RemoteMonitor
from .monitors import EarlyStopping, ReduceLROnPlateau, TerminateOnNaN
from .tensorboard import TensorBoard

__all__ = [
    "BackupAndRestore",
    "BaseLogger",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "TensorBoard",
    "TerminateOnNaN",
]
