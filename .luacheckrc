-- What luacheck (Debian: lua-check) holds adapters to; tests/check-lua runs it. The names are those of the sandbox: transforms/sandbox.c says
-- what is missing and why.
std = {
  read_globals = {
    "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget", "rawlen", "rawset", "select", "setmetatable", "tonumber",
    "tostring", "type", "xpcall", "_VERSION",
    string = {fields = {"byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "pack", "packsize", "rep", "reverse", "sub", "unpack", "upper"}},
    table = {fields = {"concat", "insert", "move", "pack", "remove", "sort", "unpack"}},
    math = {fields = {"abs", "acos", "asin", "atan", "ceil", "cos", "deg", "exp", "floor", "fmod", "huge", "log", "max", "maxinteger", "min", "mininteger", "modf",
      "pi", "rad", "sin", "sqrt", "tan", "tointeger", "type", "ult"}},
    utf8 = {fields = {"char", "charpattern", "codepoint", "codes", "len", "offset"}},
    json = {other_fields = true}, crypto = {other_fields = true}, time = {other_fields = true}, units = {other_fields = true}, geo = {other_fields = true},
    csv = {other_fields = true}, xml = {other_fields = true}, form = {other_fields = true}, url = {other_fields = true}, log = {other_fields = true},
  },
}
exclude_files = {"lua/meta"}
max_line_length = 190
-- An adapter's functions have the arguments that they are called with, needed or not.
unused_args = false
