"""What the command-line tools print, made from aggregates. Pure: no clock, no I/O, no printing."""
