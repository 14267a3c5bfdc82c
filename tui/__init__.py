"""The dashboard: watches and controls runs in a terminal. Reads run directories, never imports torch."""
