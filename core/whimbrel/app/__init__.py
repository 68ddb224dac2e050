"""The application: options, wiring, start and stop of a broker."""
