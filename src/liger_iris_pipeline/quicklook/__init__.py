"""Looking at data: preview pictures of products; reads products, never processes."""

from liger_iris_pipeline.quicklook.preview import draw_mosaics, picture, write_preview

__all__ = ["draw_mosaics", "picture", "write_preview"]
