# Completes the words of sysslow in fish.
sysdash --print-completion fish | source
