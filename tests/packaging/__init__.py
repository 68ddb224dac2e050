"""What is shipped, and what it needs."""
