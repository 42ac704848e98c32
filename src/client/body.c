#include "client/body.h"

#include <stdlib.h>
#include <string.h>

obs_client_body *obs_client_body_new(size_t cap) {
  obs_client_body *body = malloc(sizeof(*body) + cap);
  if (body != NULL) *body = (obs_client_body){.refs = 1, .cap = cap};
  return body;
}

obs_client_body *obs_client_body_resize(obs_client_body *body, size_t cap) {
  obs_client_body *moved = realloc(body, sizeof(*body) + cap);
  if (moved != NULL) moved->cap = cap;
  return moved;
}

void obs_client_body_unref(obs_client_body *body) {
  if (body == NULL || --body->refs > 0) return;
  if (body->secret) explicit_bzero(body->bytes, body->cap);
  free(body);
}
