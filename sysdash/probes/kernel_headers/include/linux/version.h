/* bcc compares this; nothing here depends on it. */
#define LINUX_VERSION_CODE 330496
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
