"""The headless command line: data on stdout, progress and errors on stderr, exit codes to rely on."""
