"""A data set is uint8 images, labels, sample ids and their split."""
