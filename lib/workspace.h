/* The agent workspace of a user: the worktree D/workspaces/<user id>, which agents write and which
 * holds no .git, and its git directory D/git/<user id>.git, which only the platform writes. Nothing
 * in the worktree is ever read as configuration: the repository is opened bare, and what the
 * worktree holds is compared with it and hashed by us, from raw bytes. */
#ifndef VX_WORKSPACE_H
#define VX_WORKSPACE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "lib/buf.h"
#include "lib/err.h"

#define WORKSPACE_FILES_MAX 5000      /* files of one listing */
#define WORKSPACE_FILE_MAX  (1 << 20) /* bytes of a file that is read out */
#define WORKSPACE_DEPTH_MAX 32        /* folders within folders */

struct workspace;

/* Opens the workspace of a user in the instance folder dir; the first time it is made from our
 * template, with a first commit, and *seeded (may be NULL) is true. Only one that was made whole
 * counts: what an interrupted attempt left is made again. VX_ERR_SYSTEM, VX_ERR_STORAGE_FULL. */
enum vx_err workspace_open(const char *dir, int64_t user_id, struct workspace **out, bool *seeded);
void workspace_close(struct workspace *ws); /* NULL is fine */
/* Absolute path of the worktree. */
const char *workspace_path(const struct workspace *ws);

/* May path name a file of a workspace? Relative, no "..", no ".git", more than "." */
bool workspace_path_ok(const char *path);
/* Opens what path names, following symbolic links that stay inside. *fd is the caller's.
 * VX_ERR_INVALID_PATH (also a link that leads out), VX_ERR_FILE_NOT_FOUND, VX_ERR_SYSTEM. */
enum vx_err workspace_open_path(const struct workspace *ws, const char *path, int flags, int *fd);
/* Appends the bytes of a regular file to out (whose maximum must be at least
 * WORKSPACE_FILE_MAX). Also VX_ERR_PAYLOAD_TOO_LARGE past WORKSPACE_FILE_MAX. */
enum vx_err workspace_read(const struct workspace *ws, const char *path, struct buf *out);

struct workspace_entry {
    const char *path; /* relative to the worktree */
    const char *name; /* its last component, in the folder dir */
    int dir;
    const struct stat *st; /* a regular file or a symbolic link, not followed */
};
struct workspace_walk {
    bool hidden; /* also what begins with a dot; .git never */
    size_t max;  /* entries given to fn */
    /* 0 goes on; anything else ends the walk, which then was cut. */
    int (*fn)(void *ctx, const struct workspace_entry *e);
    void *ctx;
};
/* Calls fn for every file and link, in the order of the path's components. *cut: there is more than
 * was shown. */
enum vx_err workspace_walk(const struct workspace *ws, const struct workspace_walk *how, bool *cut);
/* Array of the paths of files, and of links that lead to a file inside, at most
 * WORKSPACE_FILES_MAX. Names that are not UTF-8 are left out. */
enum vx_err workspace_files(const struct workspace *ws, bool hidden, struct json_object **out,
                            bool *cut);

/* {"branch","changes","commits","truncated"}: the last commits, and how the worktree differs from
 * the last one. Ignore files and attributes of the worktree have no say. */
enum vx_err workspace_git_state(const struct workspace *ws, int64_t now_ms,
                                struct json_object **out);
/* {"sha","path","diff","truncated"}: what a commit changed, at most 600 lines and 256 KiB; path
 * NULL = everything. A sha that names no commit of this workspace has an empty diff. */
enum vx_err workspace_git_show(const struct workspace *ws, const char *sha, const char *path,
                               struct json_object **out);

#endif
