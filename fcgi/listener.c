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

#include "fcgi/handover.h"
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

/* Remembers which file at the path is ours. */
static bool note_own(struct listener *l, const char *name)
{
    struct stat st;
    if (stat(name, &st))
        return false;
    l->own = true;
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    return true;
}

/* Takes the socket of the responder that lives there. VX_OK also when there is none to take, l->fd
 * stays -1 then. */
static enum vx_err inherit_own(struct listener *l)
{
    if (!is_alive(l->path))
        return VX_OK;
    switch (handover_ask(l->path, &l->predecessor, &l->fd)) {
    case HANDOVER_OFFERED:
        if (note_own(l, l->path)) {
            log_event(LOG_INFO_, "listening", "socket", l->path, "from", "its predecessor", NULL);
            return VX_OK;
        }
        close(l->predecessor); /* it is just ending: the name is gone */
        close(l->fd);
        l->predecessor = l->fd = -1;
        return VX_OK;
    case HANDOVER_SILENT:
        log_event(LOG_WARN_, "listen", "path", l->path, "reason",
                  "the responder there does not answer: its place is taken", NULL);
        return VX_OK;
    case HANDOVER_NOBODY:
    case HANDOVER_REFUSED:
        break;
    }
    if (!is_alive(l->path)) /* it ended meanwhile */
        return VX_OK;
    return refuse(l->path, "another responder already listens there, and does not hand over");
}

static enum vx_err open_own(struct listener *l, mode_t mode)
{
    char name[sizeof((struct sockaddr_un){0}).sun_path];
    if (strlen(l->path) + sizeof ".new" > sizeof name)
        return refuse(l->path, "the path is too long for a socket");
    snprintf(name, sizeof name, "%s.new", l->path);
    l->folder = lock_folder(l->path);
    if (l->folder < 0)
        return VX_ERR_SYSTEM;
    enum vx_err err = inherit_own(l);
    if (err || l->fd >= 0)
        return err;
    l->fd = bind_at(name, mode);
    if (l->fd < 0 || !note_own(l, name) || rename(name, l->path)) {
        l->own = false;
        return refuse_errno(l->path);
    }
    log_event(LOG_INFO_, "listening", "socket", l->path, NULL);
    return VX_OK;
}

enum vx_err listener_open(struct listener *l, const struct instance *in, const struct config *cfg)
{
    *l = (struct listener){.fd = -1, .folder = -1, .predecessor = -1};
    if (is_listening(0))
        return take_inherited(l);
    l->path = strdup(in->socket);
    if (!l->path)
        return VX_ERR_NO_MEMORY;
    enum vx_err err = open_own(l, mode_of(cfg));
    if (err)
        listener_close(l);
    return err;
}

void listener_unlock(struct listener *l)
{
    if (l->folder >= 0)
        close(l->folder);
    l->folder = -1;
}

void listener_unlink(struct listener *l)
{
    struct stat st;
    if (l->own && stat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
        unlink(l->path);
}

void listener_close(struct listener *l)
{
    listener_unlock(l);
    if (l->predecessor >= 0)
        close(l->predecessor);
    l->predecessor = -1;
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    free(l->path);
    l->path = NULL;
}
