"""Files on disk: atomic replacement, locks, signatures of content, and safe reading of untrusted files and text."""
