"""Records of every materialisation: inputs, settings, checks and costs."""
