"""Recordings: what was collected, interval by interval, in one file."""

from sysdash.recording.format import BadRecording, CannotRecord, Facts
from sysdash.recording.reader import Recording
from sysdash.recording.recorder import Recorded, Recorder
from sysdash.recording.store import Existing
from sysdash.recording.tap import RecordingSource

__all__ = [
    "BadRecording",
    "CannotRecord",
    "Existing",
    "Facts",
    "Recorded",
    "Recorder",
    "Recording",
    "RecordingSource",
]
