"""sysdash: a live terminal dashboard for Linux system calls, on eBPF."""

__version__ = "0.1.0"
