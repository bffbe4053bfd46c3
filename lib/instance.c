/* Paths of an instance. */
#include "lib/instance.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/secret.h"

static char *format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static char *format(const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    return n < 0 ? NULL : s;
}

/* dir as an absolute path, resolved as far as it exists. Caller frees; NULL when out of memory or
 * the current folder cannot be told. */
static char *absolute(const char *dir)
{
    char *real = realpath(dir, NULL);
    if (real)
        return real;
    char *path, *cwd = NULL;
    if (dir[0] == '/') {
        path = strdup(dir);
    } else {
        cwd = getcwd(NULL, 0);
        path = cwd ? format("%s/%s", cwd, dir) : NULL;
    }
    free(cwd);
    for (size_t n = path ? strlen(path) : 0; n > 1 && path[n - 1] == '/'; n--)
        path[n - 1] = '\0';
    return path;
}

static char *own_exe(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0)
        return strdup("vexa");
    path[n] = '\0';
    /* a binary replaced while it runs: the new file lies at the same place */
    char *gone = strstr(path, " (deleted)");
    if (gone && !gone[strlen(" (deleted)")])
        *gone = '\0';
    return strdup(path);
}

/* run/vexa.sock, or, when that is too long for a socket address, a name in a short private folder
 * that depends on the instance's path and the user only. */
static char *socket_path(const char *dir)
{
    char *path = format("%s/run/vexa.sock", dir);
    struct sockaddr_un sa;
    /* room for the temporary name the responder binds before it renames */
    if (!path || strlen(path) + 8 < sizeof sa.sun_path)
        return path;
    unsigned char hash[SECRET_SHA256];
    free(path);
    if (secret_sha256(dir, strlen(dir), hash))
        return NULL;
    return format("/tmp/vexa-%u-%02x%02x%02x%02x%02x%02x/vexa.sock", (unsigned)geteuid(), hash[0],
                  hash[1], hash[2], hash[3], hash[4], hash[5]);
}

enum vx_err instance_init(struct instance *in, const char *dir)
{
    *in = (struct instance){0};
    if (!dir || !*dir)
        dir = getenv("VEXA_DIR");
    if (!dir || !*dir)
        dir = ".";
    in->dir = absolute(dir);
    if (!in->dir)
        return VX_ERR_SYSTEM;
    in->exe = own_exe();
    in->conf = format("%s/vexa.conf", in->dir);
    in->db = format("%s/vexa.db", in->dir);
    in->socket = socket_path(in->dir);
    in->log_dir = format("%s/log", in->dir);
    in->recordings = format("%s/recordings", in->dir);
    in->pids = format("%s/pids", in->dir);
    if (!in->exe || !in->conf || !in->db || !in->socket || !in->log_dir || !in->recordings ||
        !in->pids) {
        instance_free(in);
        return VX_ERR_NO_MEMORY;
    }
    return VX_OK;
}

enum vx_err instance_load(struct instance *in, const char *dir, char *why, size_t size)
{
    enum vx_err err = instance_init(in, dir);
    if (err) {
        snprintf(why, size, "%s: %s", dir ? dir : "instance folder", strerror(errno));
        return err;
    }
    err = config_load(in->conf, &in->cfg, why, size);
    if (err)
        return err;
    const char *socket = config_str(in->cfg, CFG_SERVER_SOCKET);
    if (*socket) {
        struct sockaddr_un sa;
        if (*socket != '/' || strlen(socket) + 8 >= sizeof sa.sun_path) {
            snprintf(why, size, "%s: server.socket must be an absolute path under 100 bytes",
                     in->conf);
            return VX_ERR_BAD_CONFIG;
        }
        free(in->socket);
        in->socket = strdup(socket);
        if (!in->socket)
            return VX_ERR_NO_MEMORY;
    }
    return VX_OK;
}

void instance_free(struct instance *in)
{
    free(in->dir);
    free(in->exe);
    free(in->conf);
    free(in->db);
    free(in->socket);
    free(in->log_dir);
    free(in->recordings);
    free(in->pids);
    config_free(in->cfg);
    *in = (struct instance){0};
}
