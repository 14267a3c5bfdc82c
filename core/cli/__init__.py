"""The headless command line: data on stdout, progress and errors on stderr, documented exit codes."""
