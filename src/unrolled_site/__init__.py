"""What only the pages need."""
