"""Datasets: a folder of shards and a manifest.

Item i is a function of (seed, i) alone, whatever the shard size, the number of workers, and however
often the rendering was stopped. A shard is two files: `audio-NNNNNN.npy` (items, samples) float32, float16
or int16, and `levels-NNNNNN.npy` (items, P) uint8, or uint16 where a parameter has more than 256 levels. There are
more where they are needed: for int16 `peaks-NNNNNN.npy` (items,) float32; where the prior draws them,
`notes-NNNNNN.npy` (items, 3) float64 and `families-NNNNNN.npy` (items,) int64; where a renderer can fail,
`failed-NNNNNN.npy` (items,) uint8. The manifest holds the settings, the parameter space, and
the size and SHA-256 of every file, its own contents too. While rendering goes on it is called
`manifest.partial.json`; only when all is there does it become `manifest.json`.
"""

from .manifest import MANIFEST, PARTIAL, DatasetSettings, Manifest, Part, failures
from .reading import Dataset, Report, open_dataset, verify
from .rendering import ShardTask, render_dataset
from .samples import DTYPES

__all__ = [
    "DTYPES",
    "MANIFEST",
    "PARTIAL",
    "Dataset",
    "DatasetSettings",
    "Manifest",
    "Part",
    "Report",
    "ShardTask",
    "failures",
    "open_dataset",
    "render_dataset",
    "verify",
]
