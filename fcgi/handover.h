/* Changing responders without a lost request. The running one listens on <socket>.ctl; a new one
 * asks there for the listening socket, starts, and says GO when it serves. Only then the old one
 * leaves: it passes every kept connection of the web server over (closing one could lose the
 * request that is just being written to it), finishes what it has in hand, ends its streams, and
 * says BYE. Until GO nothing has changed: a new one that fails leaves the old one as it was.
 *
 * Messages are packets (SOCK_SEQPACKET): HELLO ->, <- OFFER + listener, GO ->, <- CONNECTION +
 * descriptors …, <- BYE. Each starts with magic, version and type. Only a peer of our own user id
 * is heard. */
#ifndef VX_HANDOVER_H
#define VX_HANDOVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"

/* ---- the side that serves now; all but handover_pass() by the main thread */

struct handover {
    int fd;   /* listens; -1 = none */
    int peer; /* a new responder that asked; -1 = none */
    bool offered;
    int64_t peer_until; /* monotonic ms */
    atomic_bool broken; /* nothing reaches the successor any more */
    char *path;
    dev_t dev;
    ino_t ino;
};

/* Listens beside the socket at socket_path. Hold the folder's lock (listener.h). A failure is
 * logged and only means that no successor can ask. */
void handover_listen(struct handover *h, const char *socket_path);
/* What to poll() for input, and for how long at most (-1: no end). */
int handover_fd(const struct handover *h);
int handover_timeout(const struct handover *h);
/* Does what is due after poll(). True: the successor serves and said GO; leave. */
bool handover_step(struct handover *h, int listen_fd);
/* Passes a connection to the successor (a hub_keep_fn; ctx is the handover) and closes it here. Any
 * thread. */
void handover_pass(int fd, void *ctx);
/* Says BYE. */
void handover_bye(struct handover *h);
/* Takes the name away, when it is still ours. */
void handover_unlink(struct handover *h);
void handover_close(struct handover *h);

/* ---- the side that comes */

enum handover_answer {
    HANDOVER_NOBODY,  /* nobody listens there */
    HANDOVER_OFFERED, /* *peer and *listen_fd are the caller's */
    HANDOVER_SILENT,  /* it lives but does not speak: it hangs */
    HANDOVER_REFUSED, /* another version, another user, or it died over the question */
};
enum handover_answer handover_ask(const char *socket_path, int *peer, int *listen_fd);
/* We serve. False: it is gone (what it had is closed). */
bool handover_go(int peer);
/* Takes what has come without waiting; fn gets each connection. False: it said BYE or died. */
bool handover_receive(int peer, void (*fn)(int fd, void *ctx), void *ctx);

#endif
