/* The hand-over's messages: see handover.h. */
#include "fcgi/handover.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"

#define MAGIC    "vexahand"
#define VERSION  1
#define SUFFIX   ".ctl"
#define HELLO_MS 1000  /* a peer that connected speaks within this */
#define GO_MS    60000 /* it may have a database to migrate first */
#define ANSWER_S 5     /* longest silence of a responder that is well */
#define PASS_S   5
#define FDS_MAX  16

enum type { T_HELLO = 1, T_OFFER, T_REFUSE, T_GO, T_CONNECTION, T_BYE };

struct message {
    char magic[8];
    uint32_t version, type;
};

union control {
    struct cmsghdr align;
    char room[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

/* 0, or -1 and errno. fd -1 = none. */
static int send_message(int to, enum type type, int fd)
{
    struct message m = {.version = VERSION, .type = type};
    struct iovec iov = {&m, sizeof m};
    union control c = {0};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;
    memcpy(m.magic, MAGIC, sizeof m.magic);
    if (fd >= 0) {
        h.msg_control = c.room;
        h.msg_controllen = CMSG_SPACE(sizeof fd);
        struct cmsghdr *p = CMSG_FIRSTHDR(&h);
        p->cmsg_level = SOL_SOCKET;
        p->cmsg_type = SCM_RIGHTS;
        p->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(p), &fd, sizeof fd);
    }
    do
        n = sendmsg(to, &h, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof m ? 0 : -1;
}

/* The type of the next message and its descriptors; 0 at the end or for nonsense, -1 and errno.
 * Whatever descriptors came are the caller's. */
static int take_message(int from, int flags, int *fds, int *n_fds)
{
    struct message m;
    struct iovec iov = {&m, sizeof m};
    union control c;
    struct msghdr h = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.room, .msg_controllen = sizeof c.room};
    ssize_t n;
    *n_fds = 0;
    do
        n = recvmsg(from, &h, flags | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -1;
    for (struct cmsghdr *p = CMSG_FIRSTHDR(&h); p; p = CMSG_NXTHDR(&h, p)) {
        if (p->cmsg_level != SOL_SOCKET || p->cmsg_type != SCM_RIGHTS)
            continue;
        *n_fds = (int)((p->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(p), (size_t)*n_fds * sizeof(int));
    }
    if (h.msg_flags & MSG_CTRUNC)
        log_event(LOG_WARN_, "handover", "reason", "descriptors were lost: no room for them", NULL);
    bool ours = n == (ssize_t)sizeof m && !(h.msg_flags & MSG_TRUNC) &&
                memcmp(m.magic, MAGIC, sizeof m.magic) == 0;
    if (!ours)
        return 0;
    if (m.version != VERSION)
        return T_REFUSE;
    return m.type <= T_BYE ? (int)m.type : 0;
}

static void close_all(const int *fds, int n)
{
    for (int i = 0; i < n; i++)
        close(fds[i]);
}

static bool same_user(int fd)
{
    struct ucred who;
    socklen_t len = sizeof who;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && who.uid == geteuid();
}

static bool set_address(struct sockaddr_un *sa, const char *socket_path, const char *suffix)
{
    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(sa->sun_path, sizeof sa->sun_path, "%s%s", socket_path, suffix);
    return n > 0 && (size_t)n < sizeof sa->sun_path;
}

static void set_timeouts(int fd, long send_s, long receive_s)
{
    const struct timeval out = {.tv_sec = send_s}, in = {.tv_sec = receive_s};
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &out, sizeof out) ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &in, sizeof in))
        log_event(LOG_WARN_, "handover", "reason", strerrordesc_np(errno), NULL);
}

/* ---- the side that serves now */

void handover_listen(struct handover *h, const char *socket_path)
{
    struct sockaddr_un sa;
    struct stat st;
    *h = (struct handover){.fd = -1, .peer = -1};
    if (!set_address(&sa, socket_path, SUFFIX)) {
        errno = ENAMETOOLONG;
        goto failed;
    }
    h->path = strdup(sa.sun_path);
    h->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (!h->path || h->fd < 0)
        goto failed;
    unlink(h->path); /* the predecessor's: whoever comes now waits for the folder's lock */
    /* mode 0600 by fchmod() before bind(): other threads run already, so no umask() */
    if (fchmod(h->fd, 0600) || bind(h->fd, (struct sockaddr *)&sa, sizeof sa) ||
        chmod(h->path, 0600) || listen(h->fd, 8) || stat(h->path, &st))
        goto failed;
    h->dev = st.st_dev;
    h->ino = st.st_ino;
    return;
failed:
    log_event(LOG_WARN_, "handover", "reason", strerrordesc_np(errno), NULL);
    handover_close(h);
}

int handover_fd(const struct handover *h)
{
    return h->peer >= 0 ? h->peer : h->fd;
}

int handover_timeout(const struct handover *h)
{
    if (h->peer < 0)
        return -1;
    int64_t rest = h->peer_until - clock_mono_ms();
    return rest > 0 ? (int)rest : 0;
}

static void drop_peer(struct handover *h, const char *why)
{
    log_event(LOG_WARN_, "handover_refused", "reason", why, NULL);
    close(h->peer);
    h->peer = -1;
    h->offered = false;
}

static void take_peer(struct handover *h)
{
    int fd = accept4(h->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            /* out of descriptors, most likely: a socket that stays readable would spin */
            log_event(LOG_WARN_, "handover", "reason", strerrordesc_np(errno), NULL);
            poll(NULL, 0, 100);
        }
        return;
    }
    h->peer = fd;
    h->offered = false;
    h->peer_until = clock_mono_ms() + HELLO_MS;
    set_timeouts(fd, PASS_S, PASS_S);
    if (!same_user(fd))
        drop_peer(h, "the peer runs as another user");
}

bool handover_step(struct handover *h, int listen_fd)
{
    int fds[FDS_MAX], n_fds;
    if (h->peer < 0) {
        if (h->fd >= 0)
            take_peer(h);
        return false;
    }
    int type = take_message(h->peer, MSG_DONTWAIT, fds, &n_fds);
    if (type < 0 && errno == EAGAIN) {
        if (clock_mono_ms() >= h->peer_until)
            drop_peer(h, "the peer did not speak in time");
        return false;
    }
    close_all(fds, n_fds > 0 ? n_fds : 0);
    if (type == T_HELLO && !h->offered) {
        if (send_message(h->peer, T_OFFER, listen_fd)) {
            drop_peer(h, strerrordesc_np(errno));
            return false;
        }
        h->offered = true;
        h->peer_until = clock_mono_ms() + GO_MS;
        return false;
    }
    if (type == T_GO && h->offered)
        return true;
    if (type == T_REFUSE)
        (void)send_message(h->peer, T_REFUSE, -1);
    drop_peer(h, type == T_REFUSE ? "the peer has another version of the hand-over"
                 : h->offered     ? "the successor ended before it served"
                                  : "what the peer said is no greeting");
    return false;
}

void handover_pass(int fd, void *ctx)
{
    struct handover *h = ctx;
    int tries = 0;
    /* ETOOMANYREFS: more descriptors are on their way than one user may have; they arrive */
    while (!atomic_load(&h->broken) && send_message(h->peer, T_CONNECTION, fd)) {
        if (errno != ETOOMANYREFS || ++tries > 100) {
            log_event(LOG_WARN_, "handover_lost", "reason", strerrordesc_np(errno), NULL);
            atomic_store(&h->broken, true); /* others shall not wait as long */
            break;
        }
        poll(NULL, 0, 10);
    }
    close(fd);
}

void handover_bye(struct handover *h)
{
    if (h->peer >= 0 && send_message(h->peer, T_BYE, -1))
        log_event(LOG_WARN_, "handover", "reason", strerrordesc_np(errno), NULL);
}

void handover_unlink(struct handover *h)
{
    struct stat st;
    if (h->fd >= 0 && stat(h->path, &st) == 0 && st.st_dev == h->dev && st.st_ino == h->ino)
        unlink(h->path);
}

void handover_close(struct handover *h)
{
    if (h->fd >= 0)
        close(h->fd);
    if (h->peer >= 0)
        close(h->peer);
    free(h->path);
    *h = (struct handover){.fd = -1, .peer = -1};
}

/* ---- the side that comes */

static bool is_listening(int fd)
{
    int on = 0;
    socklen_t len = sizeof on;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

static enum handover_answer ask(int fd, int *listen_fd)
{
    int fds[FDS_MAX], n_fds;
    if (!same_user(fd) || send_message(fd, T_HELLO, -1))
        return HANDOVER_REFUSED;
    int type = take_message(fd, 0, fds, &n_fds);
    if (type < 0)
        return errno == EAGAIN ? HANDOVER_SILENT : HANDOVER_REFUSED;
    if (type == T_OFFER && n_fds == 1 && is_listening(fds[0])) {
        *listen_fd = fds[0];
        return HANDOVER_OFFERED;
    }
    close_all(fds, n_fds);
    return HANDOVER_REFUSED;
}

enum handover_answer handover_ask(const char *socket_path, int *peer, int *listen_fd)
{
    struct sockaddr_un sa;
    *peer = *listen_fd = -1;
    if (!set_address(&sa, socket_path, SUFFIX))
        return HANDOVER_NOBODY;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return HANDOVER_NOBODY;
    set_timeouts(fd, ANSWER_S, ANSWER_S);
    enum handover_answer a = HANDOVER_NOBODY;
    if (connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0)
        a = ask(fd, listen_fd);
    else if (errno == EAGAIN)
        a = HANDOVER_SILENT;
    if (a == HANDOVER_OFFERED)
        *peer = fd;
    else
        close(fd);
    return a;
}

bool handover_go(int peer)
{
    return send_message(peer, T_GO, -1) == 0;
}

bool handover_receive(int peer, void (*fn)(int fd, void *ctx), void *ctx)
{
    int fds[FDS_MAX], n_fds;
    for (int i = 0; i < 256; i++) {
        int type = take_message(peer, MSG_DONTWAIT, fds, &n_fds);
        if (type < 0)
            return errno == EAGAIN;
        if (type != T_CONNECTION)
            close_all(fds, n_fds);
        for (int k = 0; type == T_CONNECTION && k < n_fds; k++)
            fn(fds[k], ctx);
        if (type != T_CONNECTION)
            return false;
    }
    return true;
}
