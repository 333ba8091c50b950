"""What the page shows, as plain values taken from the documents: no words, no markup."""
