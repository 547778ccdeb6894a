# Completes the words of syslat in fish.
sysdash --print-completion fish | source
