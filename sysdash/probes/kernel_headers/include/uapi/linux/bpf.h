/* bcc brings its own; the probe needs nothing of it. */
