/* The workspace's side of libgit2, for the files that use it. */
#ifndef VX_WORKSPACE_GIT_H
#define VX_WORKSPACE_GIT_H

#include <git2.h>

#include "lib/workspace_parts.h"

/* Starts libgit2 on first use, without system, global and template files of the host. */
enum vx_err workspace_git_start(void);
/* The git directory as a bare repository: no worktree, whatever its config says. */
enum vx_err workspace_git_open(const struct workspace *ws, git_repository **repo);
/* The error of a libgit2 call that gave rc; logged. */
enum vx_err workspace_git_fault(int rc, const char *what);
/* text as a JSON string, broken UTF-8 replaced. NULL = no memory. */
struct json_object *workspace_text(const char *text, size_t n);

#endif
