#include "op/op.h"

#include <stddef.h>

const obs_op_field_info obs_op_fields[OBS_F_COUNT] = {
#define OBS_FIELD_INFO(field, field_kind, is_required, text)                                                           \
  [OBS_F_##field] = {.name = #field,                                                                                   \
                     .rule = text,                                                                                     \
                     .json_key = "\"" #field "\":",                                                                    \
                     .offset = offsetof(obs_op, field),                                                                \
                     .name_len = sizeof(#field) - 1,                                                                   \
                     .json_key_len = sizeof(#field) + 2,                                                               \
                     .kind = OBS_KIND_##field_kind,                                                                    \
                     .required = (is_required) != 0},
    OBSERVER_OP_FIELDS(OBS_FIELD_INFO)
#undef OBS_FIELD_INFO
};
