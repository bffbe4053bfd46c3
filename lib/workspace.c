/* Opening and making the workspace of a user. The git directory is the sign that one was made: it
 * is built aside, the worktree is filled, and a rename puts it in its place. */
#include "lib/workspace.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/workspace_parts.h"

#define LOCK_WAIT_MS 5000
#define LOCK_STEP_MS 10
#define NFTW_FDS     16

enum vx_err workspace_errno(int error, const char *what, const char *path)
{
    log_event(LOG_ERROR_, "workspace_fault", "what", what, "path", path, "error", strerror(error),
              NULL);
    if (error == ENOMEM)
        return VX_ERR_NO_MEMORY;
    return error == ENOSPC || error == EDQUOT ? VX_ERR_STORAGE_FULL : VX_ERR_SYSTEM;
}

static char *path_of(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static char *path_of(const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    return n < 0 ? NULL : s;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* Removes what an interrupted attempt left. Only for folders that no agent can write. */
static enum vx_err remove_tree(const char *path)
{
    if (nftw(path, remove_one, NFTW_FDS, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT)
        return VX_OK;
    return workspace_errno(errno, "remove", path);
}

static enum vx_err make_folder(const char *path)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return VX_OK;
    return workspace_errno(errno, "mkdir", path);
}

/* The lock of all writers of this workspace; the kernel drops it with its holder. *fd is the
 * caller's to close. */
static enum vx_err take_lock(const struct workspace *ws, int *fd)
{
    int64_t end = clock_mono_ms() + LOCK_WAIT_MS;
    char *path = path_of("%s/%lld.lock", ws->gits, (long long)ws->user_id);
    if (path == NULL)
        return VX_ERR_NO_MEMORY;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    enum vx_err err = *fd < 0 ? workspace_errno(errno, "open", path) : VX_OK;
    while (err == VX_OK && flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK || clock_mono_ms() >= end) {
            err = workspace_errno(errno, "lock", path);
            close(*fd);
            *fd = -1;
        } else {
            poll(NULL, 0, LOCK_STEP_MS);
        }
    }
    free(path);
    return err;
}

static enum vx_err sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return workspace_errno(errno, "open", path);
    enum vx_err err = fsync(fd) == 0 ? VX_OK : workspace_errno(errno, "fsync", path);
    close(fd);
    return err;
}

static bool is_made(const struct workspace *ws)
{
    struct stat st;
    return lstat(ws->git, &st) == 0 && S_ISDIR(st.st_mode);
}

/* VX_ERR_FILE_NOT_FOUND when there is none. */
static enum vx_err open_root(const char *path, int *root)
{
    *root = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*root >= 0)
        return VX_OK;
    return errno == ENOENT ? VX_ERR_FILE_NOT_FOUND : workspace_errno(errno, "open", path);
}

/* Fills the worktree: a new one is built aside and renamed; one that is there (an operator's, or of
 * an interrupted attempt) keeps what it has. */
static enum vx_err fill_worktree(const struct workspace *ws)
{
    int root;
    enum vx_err err = open_root(ws->path, &root);
    if (err == VX_OK) {
        err = workspace_seed_worktree(root);
        close(root);
        return err;
    }
    if (err != VX_ERR_FILE_NOT_FOUND)
        return err;
    char *aside = path_of("%s/.new-%lld", ws->workspaces, (long long)ws->user_id);
    if (aside == NULL)
        return VX_ERR_NO_MEMORY;
    err = remove_tree(aside);
    if (err == VX_OK)
        err = make_folder(aside);
    if (err == VX_OK && (err = open_root(aside, &root)) == VX_OK) {
        err = workspace_seed_worktree(root);
        close(root);
    }
    if (err == VX_OK && rename(aside, ws->path) != 0)
        err = workspace_errno(errno, "rename", aside);
    if (err == VX_OK)
        err = sync_folder(ws->workspaces);
    free(aside);
    return err;
}

/* Under the lock. */
static enum vx_err make(const struct workspace *ws)
{
    char *aside = path_of("%s/.new-%lld", ws->gits, (long long)ws->user_id);
    if (aside == NULL)
        return VX_ERR_NO_MEMORY;
    enum vx_err err = remove_tree(aside);
    if (err == VX_OK)
        err = workspace_git_seed(aside);
    if (err == VX_OK)
        err = fill_worktree(ws);
    if (err == VX_OK && rename(aside, ws->git) != 0)
        err = workspace_errno(errno, "rename", aside);
    if (err == VX_OK)
        err = sync_folder(ws->gits);
    free(aside);
    return err;
}

/* Makes what is missing: everything, or only a worktree that somebody removed. */
static enum vx_err make_missing(struct workspace *ws, bool *seeded)
{
    int lock = -1;
    enum vx_err err = make_folder(ws->workspaces);
    if (err == VX_OK)
        err = make_folder(ws->gits);
    if (err == VX_OK)
        err = take_lock(ws, &lock);
    if (err == VX_OK && !is_made(ws)) {
        err = make(ws);
        *seeded = err == VX_OK;
    } else if (err == VX_OK) {
        err = make_folder(ws->path);
    }
    if (lock >= 0)
        close(lock);
    return err;
}

enum vx_err workspace_open(const char *dir, int64_t user_id, struct workspace **out, bool *seeded)
{
    bool made = false;
    enum vx_err err = VX_ERR_NO_MEMORY;
    struct workspace *ws = calloc(1, sizeof *ws);
    *out = NULL;
    if (ws == NULL)
        return err;
    ws->root = -1;
    ws->user_id = user_id;
    ws->workspaces = path_of("%s/workspaces", dir);
    ws->gits = path_of("%s/git", dir);
    ws->path = path_of("%s/workspaces/%lld", dir, (long long)user_id);
    ws->git = path_of("%s/git/%lld.git", dir, (long long)user_id);
    if (ws->workspaces == NULL || ws->gits == NULL || ws->path == NULL || ws->git == NULL)
        goto out;
    err = is_made(ws) ? open_root(ws->path, &ws->root) : VX_ERR_FILE_NOT_FOUND;
    if (err == VX_ERR_FILE_NOT_FOUND) {
        err = make_missing(ws, &made);
        if (err == VX_OK)
            err = open_root(ws->path, &ws->root);
        if (err == VX_ERR_FILE_NOT_FOUND)
            err = VX_ERR_SYSTEM;
    }
out:
    if (seeded != NULL)
        *seeded = made;
    if (err == VX_OK)
        *out = ws;
    else
        workspace_close(ws);
    return err;
}

void workspace_close(struct workspace *ws)
{
    if (ws == NULL)
        return;
    if (ws->root >= 0)
        close(ws->root);
    free(ws->workspaces);
    free(ws->gits);
    free(ws->path);
    free(ws->git);
    free(ws);
}

const char *workspace_path(const struct workspace *ws)
{
    return ws->path;
}
