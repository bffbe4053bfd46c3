/* What the parts of lib/workspace share. */
#ifndef VX_WORKSPACE_PARTS_H
#define VX_WORKSPACE_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/workspace.h"

struct workspace {
    int64_t user_id;
    int root;         /* the worktree, opened */
    char *path;       /* of the worktree */
    char *git;        /* of the git directory */
    char *workspaces; /* the folder of all worktrees, and of all git directories */
    char *gits;
};

/* A file of the template. */
struct seed_file {
    const char *path, *text;
};
/* File i of the template, NULL past the end. */
const struct seed_file *workspace_seed_file(size_t i);
/* Writes the files of the template that are not there yet. */
enum vx_err workspace_seed_worktree(int root);

/* Makes a bare repository at path that holds one commit, the template. */
enum vx_err workspace_git_seed(const char *path);

/* Name of a component that git keeps for itself, whatever its case. */
bool workspace_is_git_name(const char *name, size_t n);
/* errno of a failed write. */
enum vx_err workspace_errno(int error, const char *what, const char *path);

#endif
