-- What luacheck (Debian: lua-check) holds adapters to; tests/check-lua runs it. The names are those of the sandbox: transforms/sandbox.c says
-- what is missing and why, and a test holds this list to it.
std = {
  read_globals = {
    "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget", "rawlen", "rawset", "select", "setmetatable", "tonumber",
    "tostring", "type", "xpcall", "_VERSION",
    string = {fields = {"byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "pack", "packsize", "rep", "reverse", "sub", "unpack", "upper"}},
    table = {fields = {"concat", "insert", "move", "pack", "remove", "sort", "unpack"}},
    math = {fields = {"abs", "acos", "asin", "atan", "ceil", "cos", "deg", "exp", "floor", "fmod", "huge", "log", "max", "maxinteger", "min", "mininteger", "modf",
      "pi", "rad", "sin", "sqrt", "tan", "tointeger", "type", "ult"}},
    utf8 = {fields = {"char", "charpattern", "codepoint", "codes", "len", "offset"}},
    json = {fields = {"array", "decode", "encode", "null", "number"}},
    crypto = {fields = {"base64", "base64url", "hex", "hmac_sha256", "md5", "sha1", "sha256", "sign_rs256", "unbase64", "unhex"}},
    time = {fields = {"format", "from_micros", "from_millis", "iso", "micros", "millis", "parse", "scan", "seconds", "utc"}},
    units = {fields = {"bar_to_psi", "c_to_f", "f_to_c", "feet_to_m", "gallons_to_l", "kg_to_pounds", "km_to_m", "km_to_miles", "km_to_nautical_miles",
      "kmh_to_knots", "kmh_to_mph", "kmh_to_ms", "knots_to_kmh", "l_to_gallons", "m_to_feet", "m_to_km", "miles_to_km", "mph_to_kmh", "ms_to_kmh",
      "nautical_miles_to_km", "pounds_to_kg", "psi_to_bar", "round"}},
    geo = {fields = {"bearing", "distance", "in_box", "inside", "near", "valid"}},
    csv = {fields = {"join", "split"}},
    xml = {fields = {"encode", "escape"}},
    form = {fields = {"decode", "encode"}},
    url = {fields = {"escape", "unescape"}},
    log = {fields = {"debug", "info", "warn"}},
  },
}
exclude_files = {"lua/meta"}
max_line_length = 190
-- An adapter's functions have the arguments that they are called with, needed or not.
unused_args = false
