"""Capability guards, as versioned data and a formula: what a repair must not make worse."""
