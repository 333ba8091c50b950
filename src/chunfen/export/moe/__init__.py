"""A mixture of experts from adapters: dense layers upcycled to experts, and a router that is placed and trained."""
