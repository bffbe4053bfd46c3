/* The worktree as files: paths that cannot leave it, the bounded walk, reading. An agent may write
 * anything here while we look: every step goes through open folders, never through a path twice. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/json_scan.h"
#include "lib/py_text.h"
#include "lib/workspace.h"
#include "lib/workspace_parts.h"

#define NAMES_MAX    50000 /* directory entries one walk looks at */
#define OPEN_RETRIES 16    /* openat2 gives up when somebody renames at the same time */
#define READ_STEP    65536

bool workspace_is_git_name(const char *name, size_t n)
{
    return n == 4 && strncasecmp(name, ".git", 4) == 0;
}

bool workspace_path_ok(const char *path)
{
    bool names = false;
    if (path[0] == '/' || strlen(path) >= PATH_MAX)
        return false;
    while (*path != '\0') {
        size_t n = strcspn(path, "/");
        if ((n == 2 && strncmp(path, "..", 2) == 0) || workspace_is_git_name(path, n) ||
            n > NAME_MAX)
            return false;
        names |= n > 0 && !(n == 1 && path[0] == '.');
        path += n + (path[n] == '/');
    }
    return names;
}

/* For kernels and sandboxes without openat2: no symbolic link is followed at all. */
static int open_plain(int root, const char *path, int flags)
{
    int dir = fcntl(root, F_DUPFD_CLOEXEC, 0);
    while (dir >= 0) {
        char name[NAME_MAX + 1];
        size_t n = strcspn(path, "/"), skip = n + strspn(path + n, "/");
        bool last = path[skip] == '\0';
        memcpy(name, path, n);
        name[n] = '\0';
        int fd = openat(dir, n > 0 ? name : ".",
                        (last ? flags : O_PATH) | (last && skip == n ? 0 : O_DIRECTORY) |
                            O_NOFOLLOW | O_CLOEXEC);
        /* a link as a folder is ENOTDIR; say what it is */
        struct stat st;
        if (fd < 0 && errno == ENOTDIR && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            errno = S_ISLNK(st.st_mode) ? ELOOP : ENOTDIR;
        int error = errno;
        close(dir);
        errno = error;
        if (fd < 0 || last)
            return fd;
        dir = fd;
        path += skip;
    }
    return -1;
}

static int open_beneath(int root, const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    for (int i = 0; i < OPEN_RETRIES; i++) {
        long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
        if (fd >= 0)
            return (int)fd;
        if (errno == ENOSYS || errno == EPERM)
            return open_plain(root, path, flags);
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    return -1;
}

enum vx_err workspace_open_path(const struct workspace *ws, const char *path, int flags, int *fd)
{
    *fd = -1;
    if (!workspace_path_ok(path))
        return VX_ERR_INVALID_PATH;
    *fd = open_beneath(ws->root, path, flags);
    if (*fd >= 0)
        return VX_OK;
    switch (errno) {
    case EXDEV:
    case ELOOP:
    case ENAMETOOLONG:
        return VX_ERR_INVALID_PATH;
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EACCES:
    case ENXIO:
        return VX_ERR_FILE_NOT_FOUND;
    default:
        return workspace_errno(errno, "open", path);
    }
}

enum vx_err workspace_read(const struct workspace *ws, const char *path, struct buf *out)
{
    struct stat st;
    char step[READ_STEP];
    size_t total = 0;
    int fd;
    /* O_NONBLOCK: a pipe somebody left must not hold us */
    enum vx_err err = workspace_open_path(ws, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, &fd);
    if (err != VX_OK)
        return err;
    if (fstat(fd, &st) != 0)
        err = workspace_errno(errno, "stat", path);
    else if (!S_ISREG(st.st_mode))
        err = VX_ERR_FILE_NOT_FOUND;
    else if (st.st_size > WORKSPACE_FILE_MAX)
        err = VX_ERR_PAYLOAD_TOO_LARGE;
    while (err == VX_OK) {
        ssize_t n = read(fd, step, sizeof step);
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            err = workspace_errno(errno, "read", path);
        else if ((total += (size_t)n) > WORKSPACE_FILE_MAX)
            err = VX_ERR_PAYLOAD_TOO_LARGE; /* it grew */
        else if (buf_append(out, step, (size_t)n) != 0)
            err = VX_ERR_NO_MEMORY;
    }
    close(fd);
    return err;
}

/* ---- the walk ---- */

struct walk {
    const struct workspace_walk *how;
    size_t seen;  /* directory entries */
    size_t shown; /* calls of fn */
    bool cut, stop;
    enum vx_err err;
    char path[PATH_MAX];
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void free_names(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

/* The names in an open folder, sorted, without those the walk leaves out. Takes dir over. */
static char **read_names(struct walk *w, int dir, size_t *count)
{
    size_t cap = 0;
    char **names = NULL;
    DIR *d = fdopendir(dir);
    struct dirent *e;
    *count = 0;
    if (d == NULL) {
        close(dir);
        w->err = VX_ERR_NO_MEMORY;
        return NULL;
    }
    while (w->err == VX_OK && (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (w->seen >= NAMES_MAX) {
            w->cut = true;
            break;
        }
        w->seen++;
        if (workspace_is_git_name(e->d_name, strlen(e->d_name)) ||
            (!w->how->hidden && e->d_name[0] == '.'))
            continue;
        if (*count == cap) {
            char **more = realloc(names, (cap = cap ? 2 * cap : 64) * sizeof *names);
            if (more == NULL) {
                w->err = VX_ERR_NO_MEMORY;
                break;
            }
            names = more;
        }
        names[*count] = strdup(e->d_name);
        if (names[*count] == NULL)
            w->err = VX_ERR_NO_MEMORY;
        else
            ++*count;
    }
    closedir(d);
    if (*count > 1)
        qsort(names, *count, sizeof *names, by_name);
    return names;
}

/* dir stays the caller's; w->path[0..len] is its path, with a slash unless it is the root. */
static void walk_folder(struct walk *w, int dir, size_t len, int depth)
{
    size_t n;
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (copy < 0)
        return; /* not readable for us: nothing to show */
    char **names = read_names(w, copy, &n);
    for (size_t i = 0; i < n && w->err == VX_OK && !w->stop; i++) {
        struct stat st;
        size_t add = strlen(names[i]);
        if (len + add + 2 > sizeof w->path) {
            w->cut = true;
            continue;
        }
        if (fstatat(dir, names[i], &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue; /* gone meanwhile */
        memcpy(w->path + len, names[i], add + 1);
        if (S_ISDIR(st.st_mode)) {
            int sub = depth < WORKSPACE_DEPTH_MAX
                          ? openat(dir, names[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                          : -1;
            w->cut |= depth >= WORKSPACE_DEPTH_MAX;
            if (sub < 0)
                continue;
            memcpy(w->path + len + add, "/", 2);
            walk_folder(w, sub, len + add + 1, depth + 1);
            close(sub);
        } else if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)) {
            struct workspace_entry e = {w->path, names[i], dir, &st};
            w->stop = w->shown++ >= w->how->max || w->how->fn(w->how->ctx, &e) != 0;
        }
    }
    free_names(names, n);
}

enum vx_err workspace_walk(const struct workspace *ws, const struct workspace_walk *how, bool *cut)
{
    struct walk *w = calloc(1, sizeof *w);
    *cut = false;
    if (w == NULL)
        return VX_ERR_NO_MEMORY;
    w->how = how;
    walk_folder(w, ws->root, 0, 0);
    enum vx_err err = w->err;
    *cut = w->cut || w->stop;
    free(w);
    return err;
}

struct listing {
    const struct workspace *ws;
    struct json_object *files;
    bool failed;
};

static int list_file(void *ctx, const struct workspace_entry *e)
{
    struct listing *l = ctx;
    struct stat st;
    int fd;
    if (utf8_check(e->path, strlen(e->path)) != strlen(e->path))
        return 0;
    if (S_ISLNK(e->st->st_mode)) {
        if (workspace_open_path(l->ws, e->path, O_PATH, &fd) != VX_OK)
            return 0;
        bool file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
        close(fd);
        if (!file)
            return 0;
    }
    struct json_object *o = json_object_new_string(e->path);
    if (o == NULL || json_object_array_add(l->files, o) != 0) {
        json_object_put(o);
        l->failed = true;
    }
    return l->failed;
}

enum vx_err workspace_files(const struct workspace *ws, bool hidden, struct json_object **out,
                            bool *cut)
{
    struct listing l = {.ws = ws, .files = json_object_new_array()};
    struct workspace_walk how = {hidden, WORKSPACE_FILES_MAX, list_file, &l};
    *out = NULL;
    enum vx_err err = l.files != NULL ? workspace_walk(ws, &how, cut) : VX_ERR_NO_MEMORY;
    if (err == VX_OK && l.failed)
        err = VX_ERR_NO_MEMORY;
    if (err == VX_OK)
        *out = l.files;
    else
        json_object_put(l.files);
    return err;
}
