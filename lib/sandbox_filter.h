/* The seccomp filter beside Landlock: the few system calls that Landlock does not see. */
#ifndef VX_SANDBOX_FILTER_H
#define VX_SANDBOX_FILTER_H

#include <stdbool.h>

/* Installs the filter in the calling process, which needs no_new_privs. 0, or -1 with errno;
 * ENOSYS where kernel or processor has none. */
int sandbox_filter_install(bool allow_net);

#endif
