/* The program inside the self-test: it tries what the boundary forbids, by the shortest way, and
 * prints how each attempt ended. It knows nothing of how the boundary is made. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/sandbox.h"

/* The self-test's folder: granted/ may be written, victim and spare must stay as they are. */
struct scene {
    char victim[4200], spare[4200], inside[4200], beside[4200];
    pid_t pid;
    const char *abstract_name;
};

static int opened(int fd)
{
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

static int result(int rc)
{
    return rc < 0 ? errno : 0;
}

static int try_write(const struct scene *s)
{
    return opened(open(s->victim, O_WRONLY | O_CLOEXEC));
}

static int try_read(const struct scene *s)
{
    return opened(open(s->victim, O_RDONLY | O_CLOEXEC));
}

static int try_truncate(const struct scene *s)
{
    return result(truncate(s->victim, 0));
}

static int try_open_truncate(const struct scene *s)
{
    return opened(open(s->victim, O_WRONLY | O_TRUNC | O_CLOEXEC));
}

static int try_create(const struct scene *s)
{
    return opened(open(s->beside, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int try_mkdir(const struct scene *s)
{
    return result(mkdir(s->beside, 0700));
}

static int try_unlink(const struct scene *s)
{
    return result(unlink(s->spare));
}

static int try_rename_over(const struct scene *s)
{
    int fd = open(s->inside, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    close(fd);
    return result(rename(s->inside, s->spare));
}

static int try_rename_in(const struct scene *s)
{
    return result(rename(s->spare, s->inside));
}

static int try_link_in(const struct scene *s)
{
    unlink(s->inside);
    return result(link(s->victim, s->inside));
}

static int try_symlink(const struct scene *s)
{
    return result(symlink("victim", s->beside));
}

static int try_through_symlink(const struct scene *s)
{
    unlink(s->inside);
    if (symlink(s->victim, s->inside))
        return errno;
    return opened(open(s->inside, O_WRONLY | O_CLOEXEC));
}

static int try_mknod(const struct scene *s)
{
    return result(mknod(s->beside, S_IFIFO | 0600, 0));
}

static int try_proc_root(const struct scene *s)
{
    char path[4300];
    snprintf(path, sizeof path, "/proc/%d/root%s", (int)s->pid, s->victim);
    return opened(open(path, O_WRONLY | O_CLOEXEC));
}

static int try_environ(const struct scene *s)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)s->pid);
    return opened(open(path, O_RDONLY | O_CLOEXEC));
}

static int try_ptrace(const struct scene *s)
{
    if (ptrace(PTRACE_SEIZE, s->pid, NULL, NULL) < 0)
        return errno;
    return 0;
}

static int try_signal(const struct scene *s)
{
    return result(kill(s->pid, 0));
}

static int try_rlimit(const struct scene *s)
{
    struct rlimit r;
    return result(prlimit(s->pid, RLIMIT_CORE, NULL, &r));
}

static int try_unix(const struct sockaddr_un *to, socklen_t len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int error = connect(fd, (const struct sockaddr *)to, len) ? errno : 0;
    close(fd);
    return error;
}

static int try_abstract(const struct scene *s)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = strlen(s->abstract_name);
    if (n >= sizeof to.sun_path)
        return ENAMETOOLONG;
    memcpy(to.sun_path + 1, s->abstract_name, n);
    return try_unix(&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n));
}

/* Landlock does not see paths of sockets: having the socket is having got through. */
static int try_path_socket(const struct scene *s)
{
    (void)s;
    return opened(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return to;
}

/* On any port the kernel likes. */
static int try_bind(const struct scene *s)
{
    (void)s;
    struct sockaddr_in at = loopback(0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int error = bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 1) ? errno : 0;
    close(fd);
    return error;
}

/* Nobody listens on port 9 as a rule: being refused by the peer means being let through by us. */
static int try_connect(const struct scene *s)
{
    (void)s;
    struct sockaddr_in to = loopback(9);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int error = connect(fd, (struct sockaddr *)&to, sizeof to) ? errno : 0;
    close(fd);
    return error == ECONNREFUSED ? 0 : error;
}

static int try_udp(const struct scene *s)
{
    (void)s;
    return opened(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static const struct {
    const char *name;
    enum sandbox_guard guard;
    int (*attempt)(const struct scene *s);
} attempts[] = {
    {"write", SANDBOX_WRITE, try_write},
    {"read", SANDBOX_READ, try_read},
    {"truncate", SANDBOX_TRUNCATE, try_truncate},
    {"open-truncate", SANDBOX_WRITE, try_open_truncate},
    {"create", SANDBOX_WRITE, try_create},
    {"mkdir", SANDBOX_WRITE, try_mkdir},
    {"symlink", SANDBOX_WRITE, try_symlink},
    {"mknod", SANDBOX_WRITE, try_mknod},
    {"hard-link", SANDBOX_WRITE, try_link_in},
    {"through-symlink", SANDBOX_WRITE, try_through_symlink},
    {"proc-root", SANDBOX_PROCESS, try_proc_root},
    {"environ", SANDBOX_PROCESS, try_environ},
    {"ptrace", SANDBOX_PROCESS, try_ptrace},
    {"signal", SANDBOX_SIGNAL, try_signal},
    {"rlimit", SANDBOX_RLIMITS, try_rlimit},
    {"abstract-socket", SANDBOX_ABSTRACT, try_abstract},
    {"path-socket", SANDBOX_SOCKETS, try_path_socket},
    {"tcp-bind", SANDBOX_BIND, try_bind},
    {"tcp-connect", SANDBOX_CONNECT, try_connect},
    {"udp", SANDBOX_UDP, try_udp},
    {"unlink", SANDBOX_WRITE, try_unlink},
    {"rename-over", SANDBOX_WRITE, try_rename_over},
    {"rename-in", SANDBOX_WRITE, try_rename_in},
};

int sandbox_probe(const char *root, int64_t pid, const char *abstract_name)
{
    struct scene s = {.pid = (pid_t)pid, .abstract_name = abstract_name};
    if (strlen(root) > 4096)
        return 1;
    snprintf(s.victim, sizeof s.victim, "%s/victim", root);
    snprintf(s.spare, sizeof s.spare, "%s/spare", root);
    snprintf(s.inside, sizeof s.inside, "%s/granted/inside", root);
    snprintf(s.beside, sizeof s.beside, "%s/beside", root);
    int fd = open(s.inside, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || close(fd)) /* a boundary that refuses everything is no success */
        return 1;
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        int error = attempts[i].attempt(&s);
        printf("%s %d %d\n", attempts[i].name, (int)attempts[i].guard, error);
    }
    return fflush(stdout) ? 1 : 0;
}
