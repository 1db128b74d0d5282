"""The command line: one file a command. With `definitions`, the only part of the package that knows the graph."""
