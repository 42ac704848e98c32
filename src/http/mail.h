/* One e-mail over SMTP with libcurl. TLS is required, by STARTTLS or from the beginning (smtps://), unless `plain`; the
 * server's certificate is checked. */
#ifndef OBS_HTTP_MAIL_H
#define OBS_HTTP_MAIL_H

#include "http/http.h"

typedef struct {
  const char *url; /* smtp://HOST:PORT, smtps://HOST:PORT */
  const char *from;
  const char *const *to;
  size_t nto;
  const char *user, *password; /* NULL: none */
  const char *tls_ca;          /* NULL: the authorities of the system */
  bool plain;                  /* smtp:// without TLS */
  obs_str message;             /* headers and body, lines end in CR LF */
  uint32_t timeout_ms;
  bool (*stop)(void *arg); /* as of obs_http_request */
  void *stop_arg;
  int stop_fd;
} obs_http_mail;

/* True: the server has taken it, for one of the addresses at least. out->status is the server's last reply code. Fini
 * the reply in either case. */
bool obs_http_send_mail(obs_http *h, const obs_http_mail *mail, obs_http_reply *out);

#endif
