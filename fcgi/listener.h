/* The responder's listening socket: its own Unix socket, or one it inherited as standard input. */
#ifndef VX_LISTENER_H
#define VX_LISTENER_H

#include <stdbool.h>
#include <sys/stat.h>

#include "lib/instance.h"

struct listener {
    int fd;
    bool own;   /* bound by us at path; else inherited */
    char *path; /* of an own socket */
    dev_t dev;  /* which file at path is ours */
    ino_t ino;
    int folder;      /* its lock, -1 = not held: nobody else starts until listener_unlock() */
    int predecessor; /* the responder that serves there now and gave us its socket
                      * (fcgi/handover.h), -1 = none; the caller's */
};

/* Uses descriptor 0 when it is a listening socket; else the socket of the responder that lives
 * there, if it hands over; else binds the instance's socket with the mode of cfg. VX_ERR_SYSTEM
 * with a log line: path too long, no right, or a responder lives there that does not hand over.
 * Call before threads start (umask). */
enum vx_err listener_open(struct listener *l, const struct instance *in, const struct config *cfg);
void listener_unlock(struct listener *l);
/* Takes the name away, so that nobody new connects. Only when the file there is still ours. */
void listener_unlink(struct listener *l);
void listener_close(struct listener *l);

#endif
