/* Read first by bcc. What its own headers ask of the kernel's configuration. */
#define CONFIG_BPF_SYSCALL 1
