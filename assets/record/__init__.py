"""What is recorded with every materialisation: what it was made from, checks, costs."""
