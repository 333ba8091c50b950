"""Models: the catalog, loading, chat templates."""

from chunfen.models.catalog import ModelSpec, catalog, fetch, resolve

__all__ = ["ModelSpec", "catalog", "fetch", "resolve"]
