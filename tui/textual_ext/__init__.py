"""Extensions of Textual: base classes, weak signals, playback, and all use of its private names."""
