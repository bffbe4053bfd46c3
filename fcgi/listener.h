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
};

/* Uses descriptor 0 when it is a listening socket; else binds the instance's socket with the
 * mode of cfg. VX_ERR_SYSTEM with a log line: path too long, no right, or a responder already
 * lives there. Call before threads start (umask). */
enum vx_err listener_open(struct listener *l, const struct instance *in, const struct config *cfg);
/* Takes the name away, so that nobody new connects. Only when the file there is still ours. */
void listener_unlink(struct listener *l);
void listener_close(struct listener *l);

#endif
