"""Pictures with labels: ImageFolder, tar, Parquet, ImageNet's validation set, and sets that test robustness."""
