#include "http/mail.h"

#include "base/no_proxy.h"
#include "http/internal.h"

#include <string.h>

typedef struct {
  obs_str left;
} source;

static size_t give(char *to, size_t size, size_t n, void *arg) {
  source *s = arg;
  size_t len = size * n < s->left.len ? size * n : s->left.len;
  memcpy(to, s->left.p, len);
  s->left = obs_str_slice(s->left, (uint32_t)len, UINT32_MAX);
  return len;
}

/* What a server says besides goes nowhere. */
static size_t drop(const char *data, size_t size, size_t n, void *arg) {
  (void)data;
  (void)arg;
  return size * n;
}

static struct curl_slist *addresses(const obs_http_mail *mail) {
  struct curl_slist *list = NULL;
  for (size_t i = 0; i < mail->nto; i++) {
    struct curl_slist *longer = curl_slist_append(list, mail->to[i]);
    if (longer == NULL) {
      curl_slist_free_all(list);
      return NULL;
    }
    list = longer;
  }
  return list;
}

bool obs_http_send_mail(obs_http *h, const obs_http_mail *mail, obs_http_reply *out) {
  char detail[CURL_ERROR_SIZE] = "";
  source from = {mail->message};
  obs_buf no_proxy = {0};
  CURLcode rc = CURLE_OUT_OF_MEMORY;
  const obs_http_request request = {
      .timeout_ms = mail->timeout_ms, .stop = mail->stop, .stop_arg = mail->stop_arg, .stop_fd = mail->stop_fd};
  *out = (obs_http_reply){0};
  curl_easy_reset(h->easy);
  struct curl_slist *to = addresses(mail);
  obs_no_proxy(&no_proxy);
  if (to != NULL && !no_proxy.oom) {
    long timeout = (long)mail->timeout_ms;
    curl_easy_setopt(h->easy, CURLOPT_URL, mail->url);
    curl_easy_setopt(h->easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(h->easy, CURLOPT_NOPROXY, no_proxy.p);
    curl_easy_setopt(h->easy, CURLOPT_USE_SSL, (long)(mail->plain ? CURLUSESSL_NONE : CURLUSESSL_ALL));
    if (mail->tls_ca != NULL) curl_easy_setopt(h->easy, CURLOPT_CAINFO, mail->tls_ca);
    if (mail->user != NULL) curl_easy_setopt(h->easy, CURLOPT_USERNAME, mail->user);
    if (mail->password != NULL) curl_easy_setopt(h->easy, CURLOPT_PASSWORD, mail->password);
    curl_easy_setopt(h->easy, CURLOPT_MAIL_FROM, mail->from);
    curl_easy_setopt(h->easy, CURLOPT_MAIL_RCPT, to);
    curl_easy_setopt(h->easy, CURLOPT_MAIL_RCPT_ALLLOWFAILS,
                     1L); /* one wrong address does not keep it from the others */
    curl_easy_setopt(h->easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(h->easy, CURLOPT_READFUNCTION, give);
    curl_easy_setopt(h->easy, CURLOPT_READDATA, &from);
    curl_easy_setopt(h->easy, CURLOPT_WRITEFUNCTION, drop);
    curl_easy_setopt(h->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h->easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(h->easy, CURLOPT_TIMEOUT_MS, timeout);
    curl_easy_setopt(h->easy, CURLOPT_SERVER_RESPONSE_TIMEOUT, timeout / 1000 > 0 ? timeout / 1000 : 1L);
    curl_easy_setopt(h->easy, CURLOPT_CONNECTTIMEOUT_MS,
                     timeout < OBS_HTTP_CONNECT_MS ? timeout : (long)OBS_HTTP_CONNECT_MS);
    curl_easy_setopt(h->easy, CURLOPT_ERRORBUFFER, detail);
    if (curl_multi_add_handle(h->multi, h->easy) == CURLM_OK) {
      rc = obs_http_drive(h->multi, &request);
      (void)curl_multi_remove_handle(h->multi, h->easy);
    }
    (void)curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &out->status);
    out->sent = from.left.len < mail->message.len;
  }
  if (rc != CURLE_OK) obs_http_explain(h->easy, rc, detail, &request, false, out);
  curl_easy_reset(h->easy);
  curl_slist_free_all(to);
  obs_buf_fini(&no_proxy);
  return out->end == OBS_HTTP_OK;
}
