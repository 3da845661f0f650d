"""Data sets of audio files: manifests, waveforms in batches, augmentation, statistics."""

from .augment import add_noise, mixup, roll, spec_augment
from .dataset import AudioDataset
from .feature_cache import FeatureCache
from .loader import ClipSampler, class_balanced_weights, make_loader
from .manifest import Clip, Manifest, ManifestError, read_manifest
from .statistics import Statistics, dataset_statistics

__all__ = [
    "AudioDataset",
    "Clip",
    "ClipSampler",
    "FeatureCache",
    "Manifest",
    "ManifestError",
    "Statistics",
    "add_noise",
    "class_balanced_weights",
    "dataset_statistics",
    "make_loader",
    "mixup",
    "read_manifest",
    "roll",
    "spec_augment",
]
