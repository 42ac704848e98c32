#include "base/secret.h"

#include "base/key_form.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

observer_err obs_secret_copy(const char *key, size_t len, const char *from, char **out, char *text, size_t size) {
  bool visible = true;
  for (size_t i = 0; i < len; i++) visible = visible && key[i] > ' ' && key[i] < 0x7f;
  *out = NULL;
  if (len == 0 || !visible) {
    snprintf(text, size, "%s: %s", from, len == 0 ? "it is empty" : "a key has visible ASCII characters only");
    return OBSERVER_E_INVALID;
  }
  *out = strndup(key, len);
  if (*out != NULL) return OBSERVER_E_OK;
  snprintf(text, size, "%s: %s", from, observer_strerror(OBSERVER_E_NOMEM));
  return OBSERVER_E_NOMEM;
}

bool obs_secret_is_private(const struct stat *st) {
  bool roots = st->st_uid == 0 && (st->st_mode & 037) == 0;
  bool handed = st->st_gid == 0 ? geteuid() != 0 : st->st_gid == getegid();
  return (st->st_mode & 077) == 0 || (roots && handed);
}

observer_err obs_secret_read(const char *what, const char *path, char **out, bool *open_to_others, char *text,
                             size_t size) {
  char from[512], line[OBS_SECRET_MAX];
  struct stat st;
  snprintf(from, sizeof(from), "%s %s", what, path);
  *out = NULL;
  if (open_to_others != NULL) *open_to_others = false;
  FILE *in = fopen(path, "re");
  if (in != NULL) setvbuf(in, NULL, _IONBF, 0); /* no copy of the key stays behind */
  size_t read = in != NULL ? fread(line, 1, sizeof(line), in) : 0;
  const char *end = memchr(line, '\n', read);
  size_t len = end != NULL ? (size_t)(end - line) : read;
  while (len > 0 && strchr(" \t\r", line[len - 1]) != NULL && line[len - 1] != '\0') len--;
  observer_err err = OBSERVER_E_IO;
  if (in == NULL || ferror(in))
    snprintf(text, size, "%s: %s", from, strerror(errno));
  else if (end == NULL && read == sizeof(line))
    snprintf(text, size, "%s: its first line is longer than %d bytes", from, OBS_SECRET_MAX - 1);
  else
    err = obs_secret_copy(line, len, from, out, text, size);
  if (in != NULL && open_to_others != NULL && fstat(fileno(in), &st) == 0)
    *open_to_others = S_ISREG(st.st_mode) && (st.st_mode & (S_IRGRP | S_IROTH)) != 0 && !obs_secret_is_private(&st);
  explicit_bzero(line, sizeof(line));
  if (in != NULL) (void)fclose(in); /* only read from */
  return err;
}

bool obs_secret_is_own(const char *from, char **key, char *text, size_t size) {
  if (obs_key_form_fits(*key, strlen(*key))) return true;
  snprintf(text, size, "%s: not the text of a key (obs_...)", from);
  obs_secret_free(*key);
  *key = NULL;
  return false;
}

void obs_secret_free(char *key) {
  if (key != NULL) explicit_bzero(key, strlen(key));
  free(key);
}
