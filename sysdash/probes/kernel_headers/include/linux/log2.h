/* Sizes of perf and ring buffers in bcc's macros. */
#define roundup_pow_of_two(n) (1UL << (64 - __builtin_clzl((n) - 1)))
