/* What a new workspace holds: our own template, compiled in, and writing it into a worktree. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "lib/workspace_parts.h"

static const struct seed_file files[] = {
    {"CLAUDE.md", "# Workspace\n"
                  "\n"
                  "You work for one person, in this folder only. Everything here is under version "
                  "control by the\n"
                  "platform: it commits after each turn what you changed. There is no .git here; "
                  "do not make one.\n"
                  "\n"
                  "- `kg/entities/<type>/<id>.md` is what is known of a person, a company, a "
                  "meeting. One file a\n"
                  "  thing; link with `[[id]]`. Each begins with front matter:\n"
                  "\n"
                  "      ---\n"
                  "      type: person\n"
                  "      id: ada-lovelace\n"
                  "      title: Ada Lovelace\n"
                  "      ---\n"
                  "\n"
                  "  A file without `type`, `id` and `title` is refused and taken back.\n"
                  "- `kg/entities/<type>/index.md` lists the files beside it, one line each.\n"
                  "- `log.md` gets one dated line for what you did; newest at the end.\n"
                  "- `policy/` is read, never written: changes there are taken back.\n"
                  "\n"
                  "Say where a fact comes from (meeting, date). Never invent one. Prefer a small "
                  "edit to a new file.\n"},
    {"README.md",
     "# Your workspace\n"
     "\n"
     "Notes that your agent keeps: people, companies and meetings under `kg/`, a log of\n"
     "its work in `log.md`, and its rules in `CLAUDE.md` and `policy/`. Ask it to change\n"
     "them.\n"},
    {"kg/entities/company/index.md", "# Companies\n"},
    {"kg/entities/index.md", "# Known things\n"
                             "\n"
                             "- [People](person/index.md)\n"
                             "- [Companies](company/index.md)\n"
                             "- [Meetings](meeting/index.md)\n"},
    {"kg/entities/meeting/index.md", "# Meetings\n"},
    {"kg/entities/person/index.md", "# People\n"},
    {"log.md", "# Log\n"},
    {"policy/README.md", "# Policy\n"
                         "\n"
                         "Rules for the agent of this workspace. Only the operator changes them.\n"
                         "\n"
                         "- Write nothing outside the workspace.\n"
                         "- Keep secrets (keys, passwords) out of every file.\n"},
};

const struct seed_file *workspace_seed_file(size_t i)
{
    return i < sizeof files / sizeof *files ? &files[i] : NULL;
}

static int write_all(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t w = write(fd, text, n);
        if (w < 0 && errno != EINTR)
            return -1;
        if (w > 0) {
            text += w;
            n -= (size_t)w;
        }
    }
    return 0;
}

/* Writes the file name in dir, unless something of that name is there. */
static enum vx_err write_new(int dir, const char *name, const char *text)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EEXIST ? VX_OK : workspace_errno(errno, "create", name);
    enum vx_err err = VX_OK;
    if (write_all(fd, text, strlen(text)) != 0 || fsync(fd) != 0) {
        err = workspace_errno(errno, "write", name);
        (void)unlinkat(dir, name, 0); /* half a file would pass for the user's own */
    }
    close(fd);
    return err;
}

static enum vx_err write_file(int root, const struct seed_file *f)
{
    const char *path = f->path;
    enum vx_err err = VX_OK;
    int dir = fcntl(root, F_DUPFD_CLOEXEC, 0);
    if (dir < 0)
        return workspace_errno(errno, "dup", path);
    for (size_t n; path[n = strcspn(path, "/")] != '\0'; path += n + 1) {
        char name[NAME_MAX + 1];
        memcpy(name, path, n);
        name[n] = '\0';
        int sub = -1;
        if (mkdirat(dir, name, 0700) == 0 || errno == EEXIST)
            sub = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int error = errno;
        close(dir);
        if (sub < 0) /* a file or a link of the user's has the folder's name: it stays */
            return error == ENOTDIR || error == ELOOP ? VX_OK
                                                      : workspace_errno(error, "mkdir", f->path);
        dir = sub;
    }
    err = write_new(dir, path, f->text);
    close(dir);
    return err;
}

enum vx_err workspace_seed_worktree(int root)
{
    enum vx_err err = VX_OK;
    for (size_t i = 0; err == VX_OK && i < sizeof files / sizeof *files; i++)
        err = write_file(root, &files[i]);
    return err;
}
