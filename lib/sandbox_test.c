/* The self-test's outside: a folder with something to lose, a program that tries (sandbox_probe.c),
 * and a look at what is left. posix_spawn only, since doctor's relatives have threads. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/sandbox.h"

#define MAX_OUTPUT  4096
#define PATIENCE_MS 20000
#define VICTIM_TEXT "keep me"

/* A path below the self-test's folder. */
struct path {
    char text[4200];
};

static struct path below(const char *root, const char *name)
{
    struct path p;
    snprintf(p.text, sizeof p.text, "%s/%s", root, name);
    return p;
}

static int put_file(const char *root, const char *name)
{
    struct path p = below(root, name);
    int fd = open(p.text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, VICTIM_TEXT, strlen(VICTIM_TEXT));
    return close(fd) || n != (ssize_t)strlen(VICTIM_TEXT) ? -1 : 0;
}

static bool file_is_intact(const char *root, const char *name)
{
    struct path p = below(root, name);
    char text[32];
    int fd = open(p.text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text);
    close(fd);
    return n == (ssize_t)strlen(VICTIM_TEXT) && !memcmp(text, VICTIM_TEXT, (size_t)n);
}

static const char *const folders[] = {"granted", "home", "tmp"};
static const char *const leftovers[] = {"granted/inside", "victim", "spare", "beside"};

static int make_scene(const char *root)
{
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (mkdir(below(root, folders[i]).text, 0700))
            return -1;
    return put_file(root, "victim") || put_file(root, "spare") ? -1 : 0;
}

static void remove_scene(const char *root)
{
    for (size_t i = 0; i < sizeof leftovers / sizeof *leftovers; i++)
        if (unlink(below(root, leftovers[i]).text) && errno == EISDIR)
            rmdir(below(root, leftovers[i]).text);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        rmdir(below(root, folders[i]).text);
    rmdir(root);
}

/* An abstract socket that listens, for the program to be kept from. Its name goes to name. */
static int abstract_listener(const char *root, char *name, size_t size)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const char *last = strrchr(root, '/');
    int n = snprintf(name, size, "vexa-self-test-%s", last ? last + 1 : root);
    if (n < 0 || (size_t)n >= sizeof at.sun_path - 1 || (size_t)n >= size)
        return -1;
    memcpy(at.sun_path + 1, name, (size_t)n);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    if (!bind(fd, (struct sockaddr *)&at, len) && !listen(fd, 4))
        return fd;
    close(fd);
    return -1;
}

/* 0 and *pid, or an errno. */
static int spawn_probe(const char *exe, const char *root, const char *name, int out_fd, pid_t *pid)
{
    struct path granted = below(root, "granted"), home = below(root, "home");
    struct path tmp = below(root, "tmp");
    char own_pid[24];
    snprintf(own_pid, sizeof own_pid, "%d", (int)getpid());
    const char *const words[] = {exe,       "exec-in", "--ro",  exe,      "--rw", granted.text,
                                 "--home",  home.text, "--tmp", tmp.text, "--",   exe,
                                 "exec-in", "--probe", root,    own_pid,  name,   NULL};
    char *argv[sizeof words / sizeof *words];
    memcpy(argv, words, sizeof words); /* posix_spawn's const-less argv is not written to */
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    int rc = posix_spawn_file_actions_init(&fa);
    if (rc)
        return rc;
    rc = posix_spawnattr_init(&attr);
    if (!rc) {
        rc = posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
        if (!rc)
            rc = posix_spawn_file_actions_adddup2(&fa, out_fd, 1);
        if (!rc)
            rc = posix_spawn_file_actions_adddup2(&fa, out_fd, 2);
        if (!rc)
            rc = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID);
        if (!rc)
            rc = posix_spawn(pid, exe, &fa, &attr, argv, environ);
        posix_spawnattr_destroy(&attr);
    }
    posix_spawn_file_actions_destroy(&fa);
    return rc;
}

/* Everything the program prints, until its end or until patience ends. */
static size_t read_all(int fd, char *text, size_t size)
{
    size_t len = 0;
    int64_t end = clock_mono_ms() + PATIENCE_MS;
    while (len < size - 1) {
        int64_t left = end - clock_mono_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (left <= 0 || poll(&p, 1, (int)left) <= 0)
            break;
        ssize_t n = read(fd, text + len, size - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    text[len] = '\0';
    return len;
}

/* One "<name> <guard> <errno>" line into out. 0, or -1 when it is none. */
static int take_line(const char *line, const struct sandbox_report *report,
                     struct sandbox_self_test *out)
{
    struct sandbox_attempt *a = &out->attempts[out->n];
    int guard, used = 0;
    if (out->n == sizeof out->attempts / sizeof *out->attempts)
        return -1;
    if (sscanf(line, "%31s %d %d%n", a->name, &guard, &a->error, &used) != 3 || line[used] ||
        guard < 0 || guard >= SANDBOX_GUARD_COUNT)
        return -1;
    a->guard = (enum sandbox_guard)guard;
    a->expected = report->facts[guard].enforced;
    if (!a->error && a->expected)
        out->through++;
    out->n++;
    return 0;
}

static int take_output(char *text, struct sandbox_self_test *out)
{
    struct sandbox_report report;
    char *next;
    sandbox_report(&report);
    for (char *line = text; *line; line = next) {
        char *end = strchr(line, '\n');
        next = end ? end + 1 : line + strlen(line);
        if (end)
            *end = '\0';
        if (!take_line(line, &report, out))
            continue;
        snprintf(out->why, sizeof out->why, "%.*s", (int)sizeof out->why - 1, line);
        return -1;
    }
    return 0;
}

/* What the program said is believed only as far as the files agree. */
static void look_at_files(const char *root, struct sandbox_self_test *out)
{
    struct sandbox_report report;
    sandbox_report(&report);
    if (!report.facts[SANDBOX_WRITE].enforced || !report.facts[SANDBOX_TRUNCATE].enforced)
        return;
    struct stat st;
    if (!file_is_intact(root, "victim") || !file_is_intact(root, "spare") ||
        !lstat(below(root, "beside").text, &st))
        out->through++;
}

static int run_probe(const char *exe, const char *root, struct sandbox_self_test *out)
{
    char name[64], text[MAX_OUTPUT];
    int pipe_fds[2], status = 0;
    pid_t pid;
    int listener = abstract_listener(root, name, sizeof name);
    if (listener < 0 || pipe2(pipe_fds, O_CLOEXEC)) {
        snprintf(out->why, sizeof out->why, "cannot prepare: %s", strerror(errno));
        if (listener >= 0)
            close(listener);
        return -1;
    }
    int rc = spawn_probe(exe, root, name, pipe_fds[1], &pid);
    close(pipe_fds[1]);
    if (rc) {
        snprintf(out->why, sizeof out->why, "cannot start %.100s: %s", exe, strerror(rc));
    } else {
        read_all(pipe_fds[0], text, sizeof text);
        kill(pid, SIGKILL); /* it has said everything, or is late */
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        rc = take_output(text, out);
        if (!rc && !out->n) {
            snprintf(out->why, sizeof out->why, "the program inside said nothing");
            rc = -1;
        }
        if (!rc)
            look_at_files(root, out);
    }
    close(pipe_fds[0]);
    close(listener);
    return rc ? -1 : 0;
}

int sandbox_self_test(const char *exe, const char *dir, struct sandbox_self_test *out)
{
    char root[4096];
    *out = (struct sandbox_self_test){0};
    int n = snprintf(root, sizeof root, "%s/sandbox-XXXXXX", dir);
    if (n < 0 || (size_t)n >= sizeof root || !mkdtemp(root)) {
        snprintf(out->why, sizeof out->why, "cannot make a folder in %.100s: %s", dir,
                 strerror(errno));
        return -1;
    }
    int rc;
    if (make_scene(root)) {
        snprintf(out->why, sizeof out->why, "cannot fill %.100s: %s", root, strerror(errno));
        rc = -1;
    } else {
        rc = run_probe(exe, root, out);
    }
    remove_scene(root);
    return rc;
}
