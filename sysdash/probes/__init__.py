"""The kernel side: the BPF program, what loads it, and look-ups in /proc."""
