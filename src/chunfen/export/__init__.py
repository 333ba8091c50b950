"""Making a model that stands alone: adapters merged into its weights, or turned into a mixture of experts."""
