"""The dashboard: watches and controls runs in a terminal. It reads run directories and never imports torch."""
