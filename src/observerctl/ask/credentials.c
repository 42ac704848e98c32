#include "observerctl/ask/credentials.h"

#include "base/secret.h"
#include "observerctl/ask/fetch.h"
#include "observerctl/ask/sockets.h"
#include "observerctl/cli/args.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Of the process, because every request of it has them. */
static struct {
  obs_credentials all;
  char *key;
} own;

/* ---- the files ---- */

/* The path of a file that can be read; NULL: none is given. False: it cannot be read, which was reported. */
static bool find_file(const obs_args *args, const char *flag, const char **out) {
  const char *path = obs_args_text(args, flag);
  if (path == NULL || *path == '\0') return true;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    obs_args_error(args, "--%s %s: %s", flag, path, strerror(errno));
    return false;
  }
  (void)close(fd); /* only looked at */
  *out = path;
  return true;
}

static bool find_tls(const obs_args *args, obs_pem_files *tls) {
  if (!find_file(args, "tls-ca", &tls->ca) || !find_file(args, "tls-cert", &tls->cert) ||
      !find_file(args, "tls-key", &tls->key))
    return false;
  if ((tls->cert == NULL) == (tls->key == NULL)) return true;
  obs_args_error(args, "--tls-%s: needs --tls-%s too", tls->cert != NULL ? "cert" : "key",
                 tls->cert != NULL ? "key" : "cert");
  return false;
}

/* ---- the key ---- */

static bool read_key(const obs_args *args) {
  const char *file = obs_args_text(args, "key-file"), *given = getenv("OBSERVER_KEY");
  const char *name =
      obs_options_origin(&args->options, "key-file") == OBS_OPTION_ENV ? "OBSERVER_KEY_FILE" : "--key-file";
  char error[1024] = "";
  bool open_to_others = false;
  observer_err err = OBSERVER_E_OK;
  char from[512] = "OBSERVER_KEY";
  if (file != NULL && *file != '\0') {
    snprintf(from, sizeof(from), "%s %s", name, file);
    err = obs_secret_read(name, file, &own.key, &open_to_others, error, sizeof(error));
  } else if (given != NULL && *given != '\0') {
    err = obs_secret_copy(given, strcspn(given, "\r\n"), from, &own.key, error, sizeof(error));
  }
  if (own.key != NULL && !obs_secret_is_own(from, &own.key, error, sizeof(error))) err = OBSERVER_E_INVALID;
  if (err != OBSERVER_E_OK)
    obs_args_error(args, "%s", error);
  else if (open_to_others)
    obs_args_error(args, "warning: %s %s: others can read it: chmod 600 %s", name, file, file);
  return err == OBSERVER_E_OK;
}

/* It is sent all the same: the way may be private (a VPN, containers of one host), as the daemon's own warning about
 * HTTP without TLS assumes. */
void obs_credentials_warn(const obs_args *args) {
  const char *url = obs_args_text(args, "url");
  if (url == NULL || strncasecmp(url, "https://", strlen("https://")) == 0 || obs_sockets_is_here(url)) return;
  obs_args_error(args, "warning: the key is sent to %s without TLS, so others on the way can read it: use https://",
                 strchr(url, '@') != NULL ? "the URL" : url);
}

static bool has_flag(const obs_command *c, const char *name) {
  for (size_t i = 0; i < c->nflags; i++) {
    if (strcmp(c->flags[i].name, name) == 0) return true;
  }
  return false;
}

bool obs_credentials_open(const obs_args *args) {
  if (!has_flag(args->command, "tls-ca")) return true;
  if (!find_tls(args, &own.all.tls)) return false;
  if (args->command->own_key) return true;
  if (!read_key(args)) return false;
  own.all.key = own.key;
  obs_fetch_set_key(own.key);
  if (own.key != NULL) obs_credentials_warn(args);
  return true;
}

void obs_credentials_close(void) {
  obs_fetch_set_key(NULL);
  obs_secret_free(own.key);
  own.key = NULL;
  own.all = (obs_credentials){0};
}

const obs_credentials *obs_credentials_get(void) {
  return &own.all;
}

static const char *or_none(const char *text) {
  return text != NULL ? text : "";
}

void obs_credentials_give(observer_options *o) {
  o->key = or_none(own.all.key);
  o->tls_ca = or_none(own.all.tls.ca);
  o->tls_cert = or_none(own.all.tls.cert);
  o->tls_key = or_none(own.all.tls.key);
}

void obs_credentials_advise(const char *text, char *out, size_t size) {
  static const char needed[] = "a valid key is needed", may_not[] = "this key may not";
  if (strncmp(text, needed, sizeof(needed) - 1) == 0 && own.all.key == NULL)
    snprintf(out, size, "%s: set OBSERVER_KEY_FILE or give --key-file FILE", text);
  else if (strncmp(text, needed, sizeof(needed) - 1) == 0)
    snprintf(out, size, "%s: this one is unknown there, has expired or was revoked (`observerctl key list` there)",
             text);
  else if (strncmp(text, may_not, sizeof(may_not) - 1) == 0)
    snprintf(out, size, "%s (`observerctl key check` says what it may)", text);
  else
    snprintf(out, size, "%s", text);
}
