#include <oniguruma.h>

// The library names these by macros that take addresses, or by functions of variable arity, which Swift cannot import.

static inline OnigEncoding coniguruma_utf8(void) { return ONIG_ENCODING_UTF8; }

static inline OnigSyntaxType *coniguruma_default_syntax(void) { return ONIG_SYNTAX_ONIGURUMA; }

/// Text of an error of onig_new, at most ONIG_MAX_ERROR_MESSAGE_LEN bytes; the length is returned.
static inline int coniguruma_compile_error(OnigUChar *text, int code, OnigErrorInfo *info) {
    return onig_error_code_to_str(text, code, info);
}

/// Text of an error of onig_search, at most ONIG_MAX_ERROR_MESSAGE_LEN bytes; the length is returned.
static inline int coniguruma_match_error(OnigUChar *text, int code) { return onig_error_code_to_str(text, code); }
