"""Where bodies run: the main thread, threads, an event loop or greenlets."""
