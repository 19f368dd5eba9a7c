"""Looking at data: preview pictures of products; reads products, never processes."""

from liger_iris_pipeline.quicklook.preview import picture, write_preview

__all__ = ["picture", "write_preview"]
