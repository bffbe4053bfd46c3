/* The pids file and what it takes to know that a pid is still the same process. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/instance.h"

#define NAME_MAX_BYTES 127
#define FILE_MAX_LINES 4096

static bool have_proc(void)
{
    return access("/proc/self/stat", R_OK) == 0;
}

int64_t process_start_time(pid_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    char *p = strrchr(text, ')'); /* the name may hold anything */
    if (!p || p[1] != ' ' || p[2] == 'Z' || p[2] == 'X')
        return 0;
    p += 2;
    for (int field = 3; field < 22; field++) {
        p = strchr(p, ' ');
        if (!p)
            return 0;
        p++;
    }
    return strtoll(p, NULL, 10);
}

bool process_is(pid_t pid, int64_t start_time)
{
    if (pid <= 0)
        return false;
    int64_t now = process_start_time(pid);
    if (now == 0) { /* gone, a zombie, or no /proc to ask */
        if (have_proc())
            return false;
        return kill(pid, 0) == 0 || errno == EPERM;
    }
    return start_time == 0 || now == start_time;
}

/* The lock beside the file; -1 on failure. Closing it unlocks. */
static int lock(const struct instance *in)
{
    char *path;
    if (asprintf(&path, "%s.lock", in->pids) < 0)
        return -1;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    free(path);
    if (fd < 0)
        return -1;
    while (flock(fd, LOCK_EX)) {
        if (errno != EINTR) {
            close(fd);
            return -1;
        }
    }
    return fd;
}

/* Writes the file anew without the line of name, with a line for pid when pid > 0. */
static int rewrite(const struct instance *in, const char *name, pid_t pid)
{
    int result = -1;
    char *tmp = NULL, line[256], word[NAME_MAX_BYTES + 1];
    FILE *from = NULL, *to = NULL;
    int fd = lock(in);
    if (fd < 0)
        return -1;
    if (asprintf(&tmp, "%s.new", in->pids) < 0) {
        tmp = NULL;
        goto out;
    }
    int out_fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (out_fd < 0)
        goto out;
    to = fdopen(out_fd, "w");
    if (!to) {
        close(out_fd);
        goto out;
    }
    from = fopen(in->pids, "re");
    for (int i = 0; from && i < FILE_MAX_LINES && fgets(line, sizeof line, from); i++)
        if (sscanf(line, "%127s", word) == 1 && strcmp(word, name) != 0)
            fputs(line, to);
    if (pid > 0)
        fprintf(to, "%s %d %" PRId64 "\n", name, (int)pid, process_start_time(pid));
    int bad = ferror(to);
    if (fclose(to) == 0 && !bad && rename(tmp, in->pids) == 0)
        result = 0;
    to = NULL;
out:
    if (from)
        fclose(from);
    free(tmp);
    close(fd);
    return result;
}

int pids_set(const struct instance *in, const char *name, pid_t pid)
{
    if (pid <= 0 || !*name || strlen(name) > NAME_MAX_BYTES || strpbrk(name, " \t\n"))
        return -1;
    /* a process that is dead already must not be taken for a later one with its number */
    if (have_proc() && process_start_time(pid) == 0)
        return -1;
    return rewrite(in, name, pid);
}

int pids_remove(const struct instance *in, const char *name)
{
    return rewrite(in, name, 0);
}

int pids_each(const struct instance *in, void (*fn)(const char *name, pid_t pid, void *ctx),
              void *ctx)
{
    FILE *f = fopen(in->pids, "re");
    if (!f)
        return errno == ENOENT ? 0 : -1;
    char line[256], name[NAME_MAX_BYTES + 1];
    int pid;
    int64_t start;
    for (int i = 0; i < FILE_MAX_LINES && fgets(line, sizeof line, f); i++)
        if (sscanf(line, "%127s %d %" SCNd64, name, &pid, &start) == 3 && process_is(pid, start))
            fn(name, pid, ctx);
    fclose(f);
    return 0;
}
