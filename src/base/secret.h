/* Files with secrets, and keys that are sent to others: who can read one, reading it, and giving its memory back
 * without it. */
#ifndef OBS_BASE_SECRET_H
#define OBS_BASE_SECRET_H

#include <observer/error.h>
#include <stdbool.h>
#include <stddef.h>

enum { OBS_SECRET_MAX = 4096 };

struct stat;
/* Whether root and the file's owner alone can read it, or root and this process alone, which is not root: by its group,
 * as Kubernetes mounts a Secret (0440), or by an access list, as systemd hands over a credential. The group is root's
 * then, and its bits are the list's mask. */
bool obs_secret_is_private(const struct stat *st);
/* Copies a key. It must be of visible ASCII characters, because it goes into a header line. `from`: where it comes
 * from, for the error. INVALID and NOMEM with `text`, which never holds a part of it. The caller frees *out with
 * obs_secret_free. */
observer_err obs_secret_copy(const char *key, size_t len, const char *from, char **out, char *text, size_t size);
/* Reads one from a file: its first line, without the white space at its end. Texts of errors begin with `what`, then
 * the path. *open_to_others (may be NULL): others can read the file. IO: it cannot be read. */
observer_err obs_secret_read(const char *what, const char *path, char **out, bool *open_to_others, char *text,
                             size_t size);
/* Whether it could be the text of one of our own keys (key_form.h): a wrong file's first line is nothing to be sent. If
 * not, `text` says so, without it, and *key is freed and NULL. */
bool obs_secret_is_own(const char *from, char **key, char *text, size_t size);
/* Wipes it first. NULL is allowed. */
void obs_secret_free(char *key);

#endif
