# Completes the words of syscount in fish.
sysdash --print-completion fish | source
