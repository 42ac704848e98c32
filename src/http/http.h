/* One HTTP request with libcurl: http and https only, redirects are not followed. A handle serves one request at a time
 * and keeps its connection for the next one. Proxies of the environment are used, but not for this machine's own
 * addresses (base/no_proxy.h). Open a new handle where a dropped connection must not be tried again. */
#ifndef OBS_HTTP_HTTP_H
#define OBS_HTTP_HTTP_H

#include "base/buf.h"

typedef struct obs_http obs_http;

/* NULL: no memory, or libcurl does not start. */
obs_http *obs_http_open(void);
/* NULL is allowed. */
void obs_http_close(obs_http *h);

typedef struct {
  const char *method; /* NULL: POST with a body, else GET */
  const char *url;
  const char *unix_path;      /* of the socket to connect to, whatever host the URL names; NULL: the URL's host */
  const char *const *headers; /* "name: value" each, then NULL; NULL: none */
  /* Of https, paths of PEM files. NULL: the authorities of the system; no certificate of this side. */
  const char *tls_ca, *tls_cert, *tls_key;
  obs_str body;        /* p NULL: none */
  uint32_t timeout_ms; /* of the whole request */
  size_t reply_max;    /* bytes of a reply's body */
  /* True ends the request. Asked when `stop_fd` becomes readable (below 0: no descriptor) and about once a second.
   * NULL: the request is never stopped. */
  bool (*stop)(void *arg);
  void *stop_arg;
  int stop_fd;
} obs_http_request;

typedef enum {
  OBS_HTTP_OK,          /* a whole reply, of any status */
  OBS_HTTP_UNREACHABLE, /* no connection, or none in time: nothing was sent unless `sent` is set */
  OBS_HTTP_TIMEOUT,     /* sent, but no whole reply in time */
  OBS_HTTP_BROKEN,      /* the connection or the reply broke */
  OBS_HTTP_TOO_LONG,    /* the body is longer than reply_max */
  OBS_HTTP_STOPPED,
  OBS_HTTP_NO_MEMORY
} obs_http_end;

typedef struct {
  obs_http_end end;
  bool sent;               /* part of the request went out */
  long status;             /* also of a reply that was TOO_LONG */
  uint64_t retry_after_ms; /* Retry-After; 0: none */
  obs_buf body;            /* NUL-terminated beyond its length; empty unless end is OK */
  char error[160];         /* end is not OK: the reason, without the URL: "Connection refused" */
} obs_http_reply;

/* Waits for the reply. True: end is OK. Fini in either case. */
bool obs_http_send(obs_http *h, const obs_http_request *request, obs_http_reply *out);
void obs_http_reply_fini(obs_http_reply *r);

/* Appends the text of a service, fit to be kept and shown: without the white space at its ends, bytes that are not
 * UTF-8 as U+FFFD; control characters become spaces when `line`, else only NUL does. */
void obs_http_clean_text(obs_str text, bool line, obs_buf *out);

/* ---- names of a URL for people: without credentials, query and fragment ---- */

enum { OBS_HTTP_BASE_MAX = 96, OBS_HTTP_SHOWN_MAX = 512 };

typedef struct {
  char base[OBS_HTTP_BASE_MAX];   /* "http://127.0.0.1:3100" */
  char shown[OBS_HTTP_SHOWN_MAX]; /* with its path */
} obs_http_url;

/* NULL: a request can be sent to `url`; else what is wrong with it. Names longer than the fields are cut. */
const char *obs_http_url_read(const char *url, obs_http_url *out);
/* The same of smtp:// and smtps://, for http/mail.h. */
const char *obs_http_mail_url_read(const char *url, obs_http_url *out);

#endif
