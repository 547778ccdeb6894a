# Completes the words of sysdash in fish.
sysdash --print-completion fish | source
