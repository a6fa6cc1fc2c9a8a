"""Sound in: files, sources, onsets, pitch, resampling, augmentation."""
