/* Binding the socket ourselves: libfcgi's way unlinks whatever is there and exits on failure. The
 * socket is bound under a temporary name and renamed, so that at the known name there is always a
 * socket that listens with the right permissions, or none. */
#include "fcgi/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/log.h"

#define BACKLOG  4096
#define DIR_MODE 0750

static enum vx_err refuse(const char *path, const char *reason)
{
    log_event(LOG_ERROR_, "listen", "path", path, "reason", reason, NULL);
    return VX_ERR_SYSTEM;
}

static enum vx_err refuse_errno(const char *path)
{
    return refuse(path, strerrordesc_np(errno));
}

static bool is_listening(int fd)
{
    int on = 0;
    socklen_t len = sizeof on;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

/* Moves the inherited socket away from 0 and leaves /dev/null there. */
static enum vx_err take_inherited(struct listener *l)
{
    l->fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
    if (l->fd < 0)
        return refuse_errno("standard input");
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, 0);
        close(null);
    }
    log_event(LOG_INFO_, "listening", "socket", "inherited", NULL);
    return VX_OK;
}

static bool set_address(struct sockaddr_un *sa, const char *path)
{
    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n >= sizeof sa->sun_path)
        return false;
    memcpy(sa->sun_path, path, n + 1);
    return true;
}

/* True when somebody listens at path. */
static bool is_alive(const char *path)
{
    struct sockaddr_un sa;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || !set_address(&sa, path)) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    /* EAGAIN: its backlog is full, so it lives */
    bool alive = connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0 || errno == EAGAIN;
    close(fd);
    return alive;
}

/* Opens the socket's folder (made when absent) and locks it, so that two starts at once do not both
 * find the name free. -1 = refused. */
static int lock_folder(const char *path)
{
    struct stat st;
    char *dir = strdup(path);
    char *slash = dir ? strrchr(dir, '/') : NULL;
    int fd = -1;
    if (!slash) {
        errno = dir ? EINVAL : ENOMEM;
        goto out;
    }
    slash[slash == dir] = '\0';
    if (mkdir(dir, DIR_MODE) && errno != EEXIST)
        goto out;
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) || flock(fd, LOCK_EX))
        goto out;
    /* in a folder others write to, or that somebody made for us in /tmp, the name is not ours */
    bool foreign = strncmp(dir, "/tmp/vexa-", 10) == 0 && st.st_uid != geteuid();
    if (foreign || ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))) {
        errno = EACCES;
        close(fd);
        fd = -1;
    }
out:
    if (fd < 0)
        refuse_errno(path);
    free(dir);
    return fd;
}

static mode_t mode_of(const struct config *cfg)
{
    const char *text = config_str(cfg, CFG_SERVER_SOCKET_MODE);
    char *end;
    errno = 0;
    long mode = strtol(text, &end, 8);
    if (errno || end == text || *end || mode < 0 || mode > 0777) {
        log_event(LOG_WARN_, "listen", "reason", "server.socket_mode is not octal, 0660 is used",
                  NULL);
        return 0660;
    }
    return (mode_t)mode;
}

/* A socket that listens at name with mode. -1 and errno. */
static int bind_at(const char *name, mode_t mode)
{
    struct sockaddr_un sa;
    if (!set_address(&sa, name)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    unlink(name); /* left by a start that was killed; we hold the folder's lock */
    mode_t old = umask(0177);
    int bad = bind(fd, (struct sockaddr *)&sa, sizeof sa);
    umask(old);
    if (bad || listen(fd, BACKLOG) || chmod(name, mode)) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static enum vx_err bind_own(struct listener *l, mode_t mode)
{
    char name[sizeof((struct sockaddr_un){0}).sun_path];
    struct stat st;
    enum vx_err err = VX_OK;
    if (strlen(l->path) + sizeof ".new" > sizeof name)
        return refuse(l->path, "the path is too long for a socket");
    snprintf(name, sizeof name, "%s.new", l->path);
    int folder = lock_folder(l->path);
    if (folder < 0)
        return VX_ERR_SYSTEM;
    if (is_alive(l->path)) {
        err = refuse(l->path, "another responder already listens there");
        goto out;
    }
    l->fd = bind_at(name, mode);
    if (l->fd < 0 || stat(name, &st) || rename(name, l->path)) {
        err = refuse_errno(l->path);
        goto out;
    }
    l->own = true;
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    log_event(LOG_INFO_, "listening", "socket", l->path, NULL);
out:
    close(folder);
    return err;
}

enum vx_err listener_open(struct listener *l, const struct instance *in, const struct config *cfg)
{
    *l = (struct listener){.fd = -1};
    if (is_listening(0))
        return take_inherited(l);
    l->path = strdup(in->socket);
    if (!l->path)
        return VX_ERR_NO_MEMORY;
    enum vx_err err = bind_own(l, mode_of(cfg));
    if (err)
        listener_close(l);
    return err;
}

void listener_unlink(struct listener *l)
{
    struct stat st;
    if (l->own && stat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
        unlink(l->path);
}

void listener_close(struct listener *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    free(l->path);
    l->path = NULL;
}
