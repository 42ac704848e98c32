/* The cases of nst/JSONTestSuite (github.com/nst/JSONTestSuite, test_parsing; MIT licence), as values: what any reader
 * must take, what none may take, and what RFC 8259 leaves open, with what this one does. Each goes through the cursor,
 * as a field of a journal's row, and as a field of an op that is published. */
#include "base/json_cursor.h"
#include "op/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct {
  const char *name, *text;
  size_t len;
} row;

/* INVALID: it is passed over, and what reads its text refuses it. */
typedef enum { TAKEN, INVALID, REFUSED } outcome;

#define ROW(name, text)                                                                                                \
  { name, text, sizeof(text) - 1 }

static const row accepted[] = {
    ROW("array_arraysWithSpaces", "[[]   ]"),
    ROW("array_empty-string", "[\"\"]"),
    ROW("array_empty", "[]"),
    ROW("array_ending_with_newline", "[\"a\"]"),
    ROW("array_false", "[false]"),
    ROW("array_heterogeneous", "[null, 1, \"1\", {}]"),
    ROW("array_null", "[null]"),
    ROW("array_with_1_and_newline", "[1\n]"),
    ROW("array_with_leading_space", " [1]"),
    ROW("array_with_several_null", "[1,null,null,null,2]"),
    ROW("array_with_trailing_space", "[2] "),
    ROW("number", "[123e65]"),
    ROW("number_0e+1", "[0e+1]"),
    ROW("number_0e1", "[0e1]"),
    ROW("number_after_space", "[ 4]"),
    ROW("number_double_close_to_zero",
        "[-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]\n"),
    ROW("number_int_with_exp", "[20e1]"),
    ROW("number_minus_zero", "[-0]"),
    ROW("number_negative_int", "[-123]"),
    ROW("number_negative_one", "[-1]"),
    ROW("number_negative_zero", "[-0]"),
    ROW("number_real_capital_e", "[1E22]"),
    ROW("number_real_capital_e_neg_exp", "[1E-2]"),
    ROW("number_real_capital_e_pos_exp", "[1E+2]"),
    ROW("number_real_exponent", "[123e45]"),
    ROW("number_real_fraction_exponent", "[123.456e78]"),
    ROW("number_real_neg_exp", "[1e-2]"),
    ROW("number_real_pos_exponent", "[1e+2]"),
    ROW("number_simple_int", "[123]"),
    ROW("number_simple_real", "[123.456789]"),
    ROW("object", "{\"asd\":\"sdf\", \"dfg\":\"fgh\"}"),
    ROW("object_basic", "{\"asd\":\"sdf\"}"),
    ROW("object_duplicated_key", "{\"a\":\"b\",\"a\":\"c\"}"),
    ROW("object_duplicated_key_and_value", "{\"a\":\"b\",\"a\":\"b\"}"),
    ROW("object_empty", "{}"),
    ROW("object_empty_key", "{\"\":0}"),
    ROW("object_escaped_null_in_key", "{\"foo\\u0000bar\": 42}"),
    ROW("object_extreme_numbers", "{ \"min\": -1.0e+28, \"max\": 1.0e+28 }"),
    ROW("object_long_strings", "{\"x\":[{\"id\": \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}], \"id\": "
                               "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}"),
    ROW("object_simple", "{\"a\":[]}"),
    ROW("object_string_unicode", "{\"title\":\"\\u041f\\u043e\\u043b\\u0442\\u043e\\u0440\\u0430 "
                                 "\\u0417\\u0435\\u043c\\u043b\\u0435\\u043a\\u043e\\u043f\\u0430\" }"),
    ROW("object_with_newlines", "{\n\"a\": \"b\"\n}"),
    ROW("string_1_2_3_bytes_UTF-8_sequences", "[\"\\u0060\\u012a\\u12AB\"]"),
    ROW("string_accepted_surrogate_pair", "[\"\\uD801\\udc37\"]"),
    ROW("string_accepted_surrogate_pairs", "[\"\\ud83d\\ude39\\ud83d\\udc8d\"]"),
    ROW("string_allowed_escapes", "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]"),
    ROW("string_backslash_and_u_escaped_zero", "[\"\\\\u0000\"]"),
    ROW("string_backslash_doublequotes", "[\"\\\"\"]"),
    ROW("string_comments", "[\"a/*b*/c/*d//e\"]"),
    ROW("string_double_escape_a", "[\"\\\\a\"]"),
    ROW("string_double_escape_n", "[\"\\\\n\"]"),
    ROW("string_escaped_control_character", "[\"\\u0012\"]"),
    ROW("string_escaped_noncharacter", "[\"\\uFFFF\"]"),
    ROW("string_in_array", "[\"asd\"]"),
    ROW("string_in_array_with_leading_space", "[ \"asd\"]"),
    ROW("string_last_surrogates_1_and_2", "[\"\\uDBFF\\uDFFF\"]"),
    ROW("string_nbsp_uescaped", "[\"new\\u00A0line\"]"),
    ROW("string_nonCharacterInUTF-8_U+10FFFF", "[\"\364\217\277\277\"]"),
    ROW("string_nonCharacterInUTF-8_U+FFFF", "[\"\357\277\277\"]"),
    ROW("string_null_escape", "[\"\\u0000\"]"),
    ROW("string_one-byte-utf-8", "[\"\\u002c\"]"),
    ROW("string_pi", "[\"\317\200\"]"),
    ROW("string_reservedCharacterInUTF-8_U+1BFFF", "[\"\360\233\277\277\"]"),
    ROW("string_simple_ascii", "[\"asd \"]"),
    ROW("string_space", "\" \""),
    ROW("string_surrogates_U+1D11E_MUSICAL_SYMBOL_G_CLEF", "[\"\\uD834\\uDd1e\"]"),
    ROW("string_three-byte-utf-8", "[\"\\u0821\"]"),
    ROW("string_two-byte-utf-8", "[\"\\u0123\"]"),
    ROW("string_u+2028_line_sep", "[\"\342\200\250\"]"),
    ROW("string_u+2029_par_sep", "[\"\342\200\251\"]"),
    ROW("string_uEscape", "[\"\\u0061\\u30af\\u30EA\\u30b9\"]"),
    ROW("string_uescaped_newline", "[\"new\\u000Aline\"]"),
    ROW("string_unescaped_char_delete", "[\"\177\"]"),
    ROW("string_unicode", "[\"\\uA66D\"]"),
    ROW("string_unicodeEscapedBackslash", "[\"\\u005C\"]"),
    ROW("string_unicode_2", "[\"\342\215\202\343\210\264\342\215\202\"]"),
    ROW("string_unicode_U+10FFFE_nonchar", "[\"\\uDBFF\\uDFFE\"]"),
    ROW("string_unicode_U+1FFFE_nonchar", "[\"\\uD83F\\uDFFE\"]"),
    ROW("string_unicode_U+200B_ZERO_WIDTH_SPACE", "[\"\\u200B\"]"),
    ROW("string_unicode_U+2064_invisible_plus", "[\"\\u2064\"]"),
    ROW("string_unicode_U+FDD0_nonchar", "[\"\\uFDD0\"]"),
    ROW("string_unicode_U+FFFE_nonchar", "[\"\\uFFFE\"]"),
    ROW("string_unicode_escaped_double_quote", "[\"\\u0022\"]"),
    ROW("string_utf8", "[\"\342\202\254\360\235\204\236\"]"),
    ROW("string_with_del_character", "[\"a\177a\"]"),
    ROW("structure_lonely_false", "false"),
    ROW("structure_lonely_int", "42"),
    ROW("structure_lonely_negative_real", "-0.1"),
    ROW("structure_lonely_null", "null"),
    ROW("structure_lonely_string", "\"asd\""),
    ROW("structure_lonely_true", "true"),
    ROW("structure_string_empty", "\"\""),
    ROW("structure_trailing_newline", "[\"a\"]\n"),
    ROW("structure_true_in_array", "[true]"),
    ROW("structure_whitespace_array", " [] "),
};

static const row refused[] = {
    ROW("array_1_true_without_comma", "[1 true]"),
    ROW("array_a_invalid_utf8", "[a\345]"),
    ROW("array_colon_instead_of_comma", "[\"\": 1]"),
    ROW("array_comma_after_close", "[\"\"],"),
    ROW("array_comma_and_number", "[,1]"),
    ROW("array_double_comma", "[1,,2]"),
    ROW("array_double_extra_comma", "[\"x\",,]"),
    ROW("array_extra_close", "[\"x\"]]"),
    ROW("array_extra_comma", "[\"\",]"),
    ROW("array_incomplete", "[\"x\""),
    ROW("array_incomplete_invalid_value", "[x"),
    ROW("array_inner_array_no_comma", "[3[4]]"),
    ROW("array_invalid_utf8", "[\377]"),
    ROW("array_items_separated_by_semicolon", "[1:2]"),
    ROW("array_just_comma", "[,]"),
    ROW("array_just_minus", "[-]"),
    ROW("array_missing_value", "[   , \"\"]"),
    ROW("array_newlines_unclosed", "[\"a\",\n4\n,1,"),
    ROW("array_number_and_comma", "[1,]"),
    ROW("array_number_and_several_commas", "[1,,]"),
    ROW("array_spaces_vertical_tab_formfeed", "[\"\013a\"\\f]"),
    ROW("array_star_inside", "[*]"),
    ROW("array_unclosed", "[\"\""),
    ROW("array_unclosed_trailing_comma", "[1,"),
    ROW("array_unclosed_with_new_lines", "[1,\n1\n,1"),
    ROW("array_unclosed_with_object_inside", "[{}"),
    ROW("incomplete_false", "[fals]"),
    ROW("incomplete_null", "[nul]"),
    ROW("incomplete_true", "[tru]"),
    ROW("multidigit_number_then_00", "123\000"),
    ROW("number_++", "[++1234]"),
    ROW("number_+1", "[+1]"),
    ROW("number_+Inf", "[+Inf]"),
    ROW("number_-01", "[-01]"),
    ROW("number_-1.0.", "[-1.0.]"),
    ROW("number_-2.", "[-2.]"),
    ROW("number_-NaN", "[-NaN]"),
    ROW("number_.-1", "[.-1]"),
    ROW("number_.2e-3", "[.2e-3]"),
    ROW("number_0.1.2", "[0.1.2]"),
    ROW("number_0.3e+", "[0.3e+]"),
    ROW("number_0.3e", "[0.3e]"),
    ROW("number_0.e1", "[0.e1]"),
    ROW("number_0_capital_E+", "[0E+]"),
    ROW("number_0_capital_E", "[0E]"),
    ROW("number_0e+", "[0e+]"),
    ROW("number_0e", "[0e]"),
    ROW("number_1.0e+", "[1.0e+]"),
    ROW("number_1.0e-", "[1.0e-]"),
    ROW("number_1.0e", "[1.0e]"),
    ROW("number_1_000", "[1 000.0]"),
    ROW("number_1eE2", "[1eE2]"),
    ROW("number_2.e+3", "[2.e+3]"),
    ROW("number_2.e-3", "[2.e-3]"),
    ROW("number_2.e3", "[2.e3]"),
    ROW("number_9.e+", "[9.e+]"),
    ROW("number_Inf", "[Inf]"),
    ROW("number_NaN", "[NaN]"),
    ROW("number_U+FF11_fullwidth_digit_one", "[\357\274\221]"),
    ROW("number_expression", "[1+2]"),
    ROW("number_hex_1_digit", "[0x1]"),
    ROW("number_hex_2_digits", "[0x42]"),
    ROW("number_infinity", "[Infinity]"),
    ROW("number_invalid+-", "[0e+-1]"),
    ROW("number_invalid-negative-real", "[-123.123foo]"),
    ROW("number_invalid-utf-8-in-bigger-int", "[123\345]"),
    ROW("number_invalid-utf-8-in-exponent", "[1e1\345]"),
    ROW("number_invalid-utf-8-in-int", "[0\345]\n"),
    ROW("number_minus_infinity", "[-Infinity]"),
    ROW("number_minus_sign_with_trailing_garbage", "[-foo]"),
    ROW("number_minus_space_1", "[- 1]"),
    ROW("number_neg_int_starting_with_zero", "[-012]"),
    ROW("number_neg_real_without_int_part", "[-.123]"),
    ROW("number_neg_with_garbage_at_end", "[-1x]"),
    ROW("number_real_garbage_after_e", "[1ea]"),
    ROW("number_real_with_invalid_utf8_after_e", "[1e\345]"),
    ROW("number_real_without_fractional_part", "[1.]"),
    ROW("number_starting_with_dot", "[.123]"),
    ROW("number_with_alpha", "[1.2a-3]"),
    ROW("number_with_alpha_char", "[1.8011670033376514H-308]"),
    ROW("number_with_leading_zero", "[012]"),
    ROW("object_bad_value", "[\"x\", truth]"),
    ROW("object_bracket_key", "{[: \"x\"}\n"),
    ROW("object_comma_instead_of_colon", "{\"x\", null}"),
    ROW("object_double_colon", "{\"x\"::\"b\"}"),
    ROW("object_emoji", "{\360\237\207\250\360\237\207\255}"),
    ROW("object_garbage_at_end", "{\"a\":\"a\" 123}"),
    ROW("object_key_with_single_quotes", "{key: 'value'}"),
    ROW("object_lone_continuation_byte_in_key_and_trailing_comma", "{\"\271\":\"0\",}"),
    ROW("object_missing_colon", "{\"a\" b}"),
    ROW("object_missing_key", "{:\"b\"}"),
    ROW("object_missing_semicolon", "{\"a\" \"b\"}"),
    ROW("object_missing_value", "{\"a\":"),
    ROW("object_no-colon", "{\"a\""),
    ROW("object_non_string_key", "{1:1}"),
    ROW("object_non_string_key_but_huge_number_instead", "{9999E9999:1}"),
    ROW("object_repeated_null_null", "{null:null,null:null}"),
    ROW("object_several_trailing_commas", "{\"id\":0,,,,,}"),
    ROW("object_single_quote", "{'a':0}"),
    ROW("object_trailing_comma", "{\"id\":0,}"),
    ROW("object_trailing_comment", "{\"a\":\"b\"}/**/"),
    ROW("object_trailing_comment_open", "{\"a\":\"b\"}/**//"),
    ROW("object_trailing_comment_slash_open", "{\"a\":\"b\"}//"),
    ROW("object_trailing_comment_slash_open_incomplete", "{\"a\":\"b\"}/"),
    ROW("object_two_commas_in_a_row", "{\"a\":\"b\",,\"c\":\"d\"}"),
    ROW("object_unquoted_key", "{a: \"b\"}"),
    ROW("object_unterminated-value", "{\"a\":\"a"),
    ROW("object_with_single_string", "{ \"foo\" : \"bar\", \"a\" }"),
    ROW("object_with_trailing_garbage", "{\"a\":\"b\"}#"),
    ROW("single_space", " "),
    ROW("string_1_surrogate_then_escape", "[\"\\uD800\\\"]"),
    ROW("string_1_surrogate_then_escape_u", "[\"\\uD800\\u\"]"),
    ROW("string_1_surrogate_then_escape_u1", "[\"\\uD800\\u1\"]"),
    ROW("string_1_surrogate_then_escape_u1x", "[\"\\uD800\\u1x\"]"),
    ROW("string_accentuated_char_no_quotes", "[\303\251]"),
    ROW("string_backslash_00", "[\"\\\000\"]"),
    ROW("string_escape_x", "[\"\\x00\"]"),
    ROW("string_escaped_backslash_bad", "[\"\\\\\\\"]"),
    ROW("string_escaped_ctrl_char_tab", "[\"\\\t\"]"),
    ROW("string_escaped_emoji", "[\"\\\360\237\214\200\"]"),
    ROW("string_incomplete_escape", "[\"\\\"]"),
    ROW("string_incomplete_escaped_character", "[\"\\u00A\"]"),
    ROW("string_incomplete_surrogate", "[\"\\uD834\\uDd\"]"),
    ROW("string_incomplete_surrogate_escape_invalid", "[\"\\uD800\\uD800\\x\"]"),
    ROW("string_invalid-utf-8-in-escape", "[\"\\u\345\"]"),
    ROW("string_invalid_backslash_esc", "[\"\\a\"]"),
    ROW("string_invalid_unicode_escape", "[\"\\uqqqq\"]"),
    ROW("string_invalid_utf8_after_escape", "[\"\\\345\"]"),
    ROW("string_leading_uescaped_thinspace", "[\\u0020\"asd\"]"),
    ROW("string_no_quotes_with_bad_escape", "[\\n]"),
    ROW("string_single_doublequote", "\""),
    ROW("string_single_quote", "['single quote']"),
    ROW("string_single_string_no_double_quotes", "abc"),
    ROW("string_start_escape_unclosed", "[\"\\"),
    ROW("string_unescaped_ctrl_char", "[\"a\000a\"]"),
    ROW("string_unescaped_newline", "[\"new\nline\"]"),
    ROW("string_unescaped_tab", "[\"\t\"]"),
    ROW("string_unicode_CapitalU", "\"\\UA66D\""),
    ROW("string_with_trailing_garbage", "\"\"x"),
    ROW("structure_U+2060_word_joined", "[\342\201\240]"),
    ROW("structure_UTF8_BOM_no_data", "\357\273\277"),
    ROW("structure_angle_bracket_.", "<.>"),
    ROW("structure_angle_bracket_null", "[<null>]"),
    ROW("structure_array_trailing_garbage", "[1]x"),
    ROW("structure_array_with_extra_array_close", "[1]]"),
    ROW("structure_array_with_unclosed_string", "[\"asd]"),
    ROW("structure_ascii-unicode-identifier", "a\303\245"),
    ROW("structure_capitalized_True", "[True]"),
    ROW("structure_close_unopened_array", "1]"),
    ROW("structure_comma_instead_of_closing_brace", "{\"x\": true,"),
    ROW("structure_double_array", "[][]"),
    ROW("structure_end_array", "]"),
    ROW("structure_incomplete_UTF8_BOM", "\357\273{}"),
    ROW("structure_lone-invalid-utf-8", "\345"),
    ROW("structure_lone-open-bracket", "["),
    ROW("structure_no_data", ""),
    ROW("structure_null-byte-outside-string", "[\000]"),
    ROW("structure_number_with_trailing_garbage", "2@"),
    ROW("structure_object_followed_by_closing_object", "{}}"),
    ROW("structure_object_unclosed_no_value", "{\"\":"),
    ROW("structure_object_with_comment", "{\"a\":/*comment*/\"b\"}"),
    ROW("structure_object_with_trailing_garbage", "{\"a\": true} \"x\""),
    ROW("structure_open_array_apostrophe", "['"),
    ROW("structure_open_array_comma", "[,"),
    ROW("structure_open_array_open_object", "[{"),
    ROW("structure_open_array_open_string", "[\"a"),
    ROW("structure_open_array_string", "[\"a\""),
    ROW("structure_open_object", "{"),
    ROW("structure_open_object_close_array", "{]"),
    ROW("structure_open_object_comma", "{,"),
    ROW("structure_open_object_open_array", "{["),
    ROW("structure_open_object_open_string", "{\"a"),
    ROW("structure_open_object_string_with_apostrophes", "{'a'"),
    ROW("structure_open_open", "[\"\\{[\"\\{[\"\\{[\"\\{"),
    ROW("structure_single_eacute", "\351"),
    ROW("structure_single_star", "*"),
    ROW("structure_trailing_#", "{\"a\":\"b\"}#{}"),
    ROW("structure_uescaped_LF_before_string", "[\\u000A\"\"]"),
    ROW("structure_unclosed_array", "[1"),
    ROW("structure_unclosed_array_partial_null", "[ false, nul"),
    ROW("structure_unclosed_array_unfinished_false", "[ true, fals"),
    ROW("structure_unclosed_array_unfinished_true", "[ false, tru"),
    ROW("structure_unclosed_object", "{\"asd\":\"asd\""),
    ROW("structure_unicode-identifier", "\303\245"),
    ROW("structure_whitespace_U+2060_word_joiner", "[\342\201\240]"),
    ROW("structure_whitespace_formfeed", "[\014]"),
};

/* Implementation-defined: numbers beyond a double are kept as they were written, and refused where a field wants a
 * number; half a surrogate pair and bytes that are no UTF-8 are no text; other encodings are no JSON, and nor is a byte
 * order mark within a value. */
static const struct {
  row row;
  outcome want;
} open_cases[] = {
    {ROW("number_double_huge_neg_exp", "[123.456e-789]"), TAKEN},
    {ROW("number_huge_exp", "[0."
                            "4e0066999999999999999999999999999999999999999999999999999999999999999999999999999999999999"
                            "9999999999999999999999999999999969999999006]"),
     TAKEN},
    {ROW("number_neg_int_huge_exp", "[-1e+9999]"), TAKEN},
    {ROW("number_pos_double_huge_exp", "[1.5e+9999]"), TAKEN},
    {ROW("number_real_neg_overflow", "[-123123e100000]"), TAKEN},
    {ROW("number_real_pos_overflow", "[123123e100000]"), TAKEN},
    {ROW("number_real_underflow", "[123e-10000000]"), TAKEN},
    {ROW("number_too_big_neg_int", "[-123123123123123123123123123123]"), TAKEN},
    {ROW("number_too_big_pos_int", "[100000000000000000000]"), TAKEN},
    {ROW("number_very_big_negative_int", "[-237462374673276894279832749832423479823246327846]"), TAKEN},
    {ROW("object_key_lone_2nd_surrogate", "{\"\\uDFAA\":0}"), INVALID},
    {ROW("string_1st_surrogate_but_2nd_missing", "[\"\\uDADA\"]"), INVALID},
    {ROW("string_1st_valid_surrogate_2nd_invalid", "[\"\\uD888\\u1234\"]"), INVALID},
    {ROW("string_UTF-16LE_with_BOM", "\377\376[\000\"\000\351\000\"\000]\000"), REFUSED},
    {ROW("string_UTF-8_invalid_sequence", "[\"\346\227\245\321\210\372\"]"), INVALID},
    {ROW("string_UTF8_surrogate_U+D800", "[\"\355\240\200\"]"), INVALID},
    {ROW("string_incomplete_surrogate_and_escape_valid", "[\"\\uD800\\n\"]"), INVALID},
    {ROW("string_incomplete_surrogate_pair", "[\"\\uDd1ea\"]"), INVALID},
    {ROW("string_incomplete_surrogates_escape_valid", "[\"\\uD800\\uD800\\n\"]"), INVALID},
    {ROW("string_invalid_lonely_surrogate", "[\"\\ud800\"]"), INVALID},
    {ROW("string_invalid_surrogate", "[\"\\ud800abc\"]"), INVALID},
    {ROW("string_invalid_utf-8", "[\"\377\"]"), INVALID},
    {ROW("string_inverted_surrogates_U+1D11E", "[\"\\uDd1e\\uD834\"]"), INVALID},
    {ROW("string_iso_latin_1", "[\"\351\"]"), INVALID},
    {ROW("string_lone_second_surrogate", "[\"\\uDFAA\"]"), INVALID},
    {ROW("string_lone_utf8_continuation_byte", "[\"\201\"]"), INVALID},
    {ROW("string_not_in_unicode_range", "[\"\364\277\277\277\"]"), INVALID},
    {ROW("string_overlong_sequence_2_bytes", "[\"\300\257\"]"), INVALID},
    {ROW("string_overlong_sequence_6_bytes", "[\"\374\203\277\277\277\277\"]"), INVALID},
    {ROW("string_overlong_sequence_6_bytes_null", "[\"\374\200\200\200\200\200\"]"), INVALID},
    {ROW("string_truncated-utf-8", "[\"\340\377\"]"), INVALID},
    {ROW("string_utf16BE_no_BOM", "\000[\000\"\000\351\000\"\000]"), REFUSED},
    {ROW("string_utf16LE_no_BOM", "[\000\"\000\351\000\"\000]\000"), REFUSED},
    {ROW("structure_UTF-8_BOM_empty_object", "\357\273\277{}"), REFUSED},
};

enum { ACCEPTED = sizeof(accepted) / sizeof(row), REFUSALS = sizeof(refused) / sizeof(row) };
enum { OPEN_CASES = sizeof(open_cases) / sizeof(open_cases[0]) };

/* ---- the cursor ---- */

static outcome scan(const char *text, size_t len) {
  char *exact = malloc(len > 0 ? len : 1); /* a read beyond the end is seen */
  assert_non_null(exact);
  memcpy(exact, text, len);
  obs_cursor c = obs_cursor_of(exact, len);
  obs_json_cursor_shape shape;
  obs_json_cursor_space(&c);
  bool ok = obs_json_cursor_scan(&c, &shape);
  if (ok) obs_json_cursor_space(&c);
  outcome out = !ok || c.p != c.end ? REFUSED : shape.valid ? TAKEN : INVALID;
  free(exact);
  return out;
}

/* ---- an op that has it as its field `x` ---- */

static obs_buf op_with(const char *text, size_t len) {
  obs_buf out = {0};
  obs_buf_puts(&out, "{\"endpoint\":\"/e\",\"x\":");
  obs_buf_append(&out, text, len);
  obs_buf_putc(&out, '}');
  assert_false(out.oom);
  return out;
}

static bool taken_as_row(const char *text, size_t len) {
  obs_batch b;
  const char *reason = NULL;
  obs_buf line = op_with(text, len);
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  bool ok = obs_batch_decode_row(&b, line.p, line.len, &reason);
  if (ok) assert_int_equal(b.ops[0].unknown_count, 1);
  if (!ok) assert_non_null(reason);
  obs_batch_fini(&b);
  obs_buf_fini(&line);
  return ok;
}

/* Nothing of a message that is not whole is taken for whole: it has a reject. */
static bool taken_as_message(const char *text, size_t len, uint32_t depth) {
  obs_op_limits limits = OBS_LIMITS_DEFAULT;
  obs_batch b;
  obs_buf message = op_with(text, len);
  limits.depth = depth;
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  b.data = (const uint8_t *)message.p;
  b.size = message.len;
  b.transport = OBS_TRANSPORT_HTTP;
  obs_batch_decode(&b, OBS_FORMAT_JSON, &limits, 0);
  bool ok = b.nrejects == 0;
  assert_int_equal(b.nops > 0 && b.single, ok);
  obs_batch_fini(&b);
  obs_buf_fini(&message);
  return ok;
}

static void check(const row *r, outcome want) {
  bool taken = want == TAKEN;
  outcome got = scan(r->text, r->len);
  if (got != want || taken_as_row(r->text, r->len) != taken || taken_as_message(r->text, r->len, 512) != taken)
    fail_msg("%s: %d", r->name, (int)got);
}

static void what_must_be_taken_is(void **state) {
  (void)state;
  for (size_t i = 0; i < ACCEPTED; i++) check(&accepted[i], TAKEN);
}

static void what_must_be_refused_is(void **state) {
  (void)state;
  for (size_t i = 0; i < REFUSALS; i++) check(&refused[i], REFUSED);
}

static void what_is_left_open_is_as_said(void **state) {
  (void)state;
  for (size_t i = 0; i < OPEN_CASES; i++) check(&open_cases[i].row, open_cases[i].want);
}

/* The suite's three long cases: structure_100000_opening_arrays, structure_open_array_object and
 * i_structure_500_nested_arrays. Depth costs nothing and ends at 512 levels; an op's own limit is lower. */
static void depth_is_bounded(void **state) {
  (void)state;
  enum { MANY = 50000, NESTED = 500 };
  obs_buf text = {0};
  for (int i = 0; i < 2 * MANY; i++) obs_buf_putc(&text, '[');
  assert_int_equal(scan(text.p, text.len), REFUSED);
  assert_false(taken_as_row(text.p, text.len));
  text.len = 0;
  for (int i = 0; i < MANY; i++) obs_buf_puts(&text, "[{\"\":");
  obs_buf_putc(&text, '\n');
  assert_int_equal(scan(text.p, text.len), REFUSED);
  assert_false(taken_as_message(text.p, text.len, 512));
  text.len = 0;
  for (int i = 0; i < NESTED; i++) obs_buf_putc(&text, '[');
  for (int i = 0; i < NESTED; i++) obs_buf_putc(&text, ']');
  assert_int_equal(scan(text.p, text.len), TAKEN);
  assert_true(taken_as_row(text.p, text.len));
  assert_false(taken_as_message(text.p, text.len, 8));
  obs_buf_fini(&text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_must_be_taken_is),
      cmocka_unit_test(what_must_be_refused_is),
      cmocka_unit_test(what_is_left_open_is_as_said),
      cmocka_unit_test(depth_is_bounded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
