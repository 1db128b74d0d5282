"""How a conversation becomes text, and how results become tables."""
