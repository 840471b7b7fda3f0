"""Images and their classes: sources, reading, preprocessing, augmentation, batches."""
