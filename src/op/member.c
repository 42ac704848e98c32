#include "op/member.h"

bool obs_op_member_value(obs_cursor *at, char room[OBS_OP_MEMBER_MAX], obs_str *out) {
  obs_cursor_value v;
  *out = (obs_str){0};
  obs_json_cursor_space(at);
  const char *from = (const char *)at->p;
  if (!obs_json_cursor_value(at, &v)) return false;
  if (v.kind == OBS_VALUE_INT || v.kind == OBS_VALUE_FLOAT)
    *out = (obs_str){from, (uint32_t)((const char *)at->p - from), 0};
  else if (v.kind == OBS_VALUE_TEXT && !v.escaped)
    *out = v.s;
  else if (v.kind == OBS_VALUE_TEXT && v.s.len <= OBS_OP_MEMBER_MAX)
    *out = (obs_str){room, (uint32_t)obs_json_cursor_unescape(v.s, room), 0};
  return true;
}

obs_str obs_op_member_find(obs_str object, const char *name, char room[OBS_OP_MEMBER_MAX]) {
  obs_cursor at = obs_cursor_of(object.p, object.len);
  obs_str text;
  obs_json_cursor_space(&at);
  if (!obs_json_cursor_take(&at, '{')) return (obs_str){0};
  for (obs_cursor_value key; obs_json_cursor_key(&at, &key);) {
    if (!obs_op_member_value(&at, room, &text)) break;
    if (text.p != NULL && obs_str_is(key.s, name)) return text;
    obs_json_cursor_space(&at);
    if (!obs_json_cursor_take(&at, ',')) break;
  }
  return (obs_str){0};
}
