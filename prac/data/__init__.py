"""A data set is uint8 images, labels, sample ids and their split."""

from prac.data.dataset import DataSummary, ImageDataset, Source
from prac.data.sources import open_source

__all__ = ["DataSummary", "ImageDataset", "Source", "open_source"]
