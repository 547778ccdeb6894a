/* Opens files: fixed numbers of times, with fixed paths, flags and results. */
#include <fcntl.h>
#include <unistd.h>

static void open_often(int times, const char *path, int flags)
{
	for (int i = 0; i < times; i++) {
		int fd = openat(AT_FDCWD, path, flags);

		if (fd >= 0)
			close(fd);
	}
}

int main(void)
{
	open_often(7, "/", O_RDONLY | O_DIRECTORY);
	open_often(3, "/nowhere/\x1b[31mred\n", O_WRONLY | O_NOFOLLOW);
	open_often(5, "/etc/hostname", O_RDONLY | O_NONBLOCK);
	return 0;
}
