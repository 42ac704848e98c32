#include "sp/frame.h"

#include <string.h>

static const struct {
  obs_sp_protocol own, peer;
  const char *name;
} pairs[] = {
    {OBS_SP_PUB, OBS_SP_SUB, "pub"}, {OBS_SP_SUB, OBS_SP_PUB, "sub"},    {OBS_SP_REQ, OBS_SP_REP, "req"},
    {OBS_SP_REP, OBS_SP_REQ, "rep"}, {OBS_SP_PUSH, OBS_SP_PULL, "push"}, {OBS_SP_PULL, OBS_SP_PUSH, "pull"},
};

static size_t place_of(obs_sp_protocol own) {
  size_t i = 0;
  while (pairs[i].own != own) i++;
  return i;
}

obs_sp_protocol obs_sp_peer_of(obs_sp_protocol own) {
  return pairs[place_of(own)].peer;
}

const char *obs_sp_name_of(obs_sp_protocol own) {
  return pairs[place_of(own)].name;
}

void obs_sp_greeting_write(obs_sp_protocol own, uint8_t out[OBS_SP_GREETING_BYTES]) {
  const uint8_t greeting[OBS_SP_GREETING_BYTES] = {0, 'S', 'P', 0, (uint8_t)(own >> 8), (uint8_t)own, 0, 0};
  memcpy(out, greeting, sizeof greeting);
}

bool obs_sp_greeting_fits(obs_sp_protocol peer, const uint8_t *p, size_t n) {
  uint8_t want[OBS_SP_GREETING_BYTES];
  obs_sp_greeting_write(peer, want);
  return memcmp(p, want, n < sizeof want ? n : sizeof want) == 0;
}

obs_sp_step obs_sp_frame_read(bool ipc, const uint8_t *p, size_t n, size_t max, obs_sp_frame *frame) {
  uint64_t size = 0;
  *frame = (obs_sp_frame){.head = (uint8_t)(ipc + 8)};
  if (ipc && n > 0 && *p != 1) return OBS_SP_WRONG;
  if (n < frame->head) return OBS_SP_MORE;
  for (unsigned i = ipc; i < frame->head; i++) size = size << 8 | p[i];
  if (size > max) return OBS_SP_WRONG;
  frame->size = (size_t)size;
  return n - frame->head >= frame->size ? OBS_SP_MESSAGE : OBS_SP_MORE;
}

size_t obs_sp_frame_head(bool ipc, size_t size, uint8_t out[OBS_SP_HEAD_MAX]) {
  out[0] = 1;
  for (unsigned i = 0; i < 8; i++) out[ipc + i] = (uint8_t)((uint64_t)size >> (56 - 8 * i));
  return ipc + 8;
}

size_t obs_sp_way_back(const uint8_t *p, size_t n) {
  for (size_t at = 0; at < (OBS_SP_HOPS + 1) * OBS_SP_WORD && n - at >= OBS_SP_WORD; at += OBS_SP_WORD) {
    if (p[at] & 0x80) return at + OBS_SP_WORD;
  }
  return 0;
}
