---@meta
-- sluice.lua: what editors with lua-language-server know of an adapter's world. .luarc.json names the folder; nothing of it is run. What each thing
-- does is told in ADAPTERS.md; a test holds this list to what the sandbox has.
--
-- In an adapter write above its table: ---@type sluice.adapter

---A message. Fields are read and written by name; what is not touched keeps its bytes.
---@class sluice.msg
---@field ident string
---@field timestamp number
---@field [string] any
local msg = {}
---Give fields other names, all at once; a name may end with `*`.
---@param names table<string, string> old name → new name
---@return sluice.msg
function msg:rename(names) end
---Leave these out; a name may end with `*`.
---@param names string[]
---@return sluice.msg
function msg:drop(names) end
---Keep these alone; a name may end with `*`.
---@param names string[]
---@return sluice.msg
function msg:pick(names) end
---Another message, to return both.
---@return sluice.msg
function msg:copy() end

---What a function is told beside the message. Which fields there are depends on what is called: ADAPTERS.md, "When code runs".
---@class sluice.ctx
---@field options table<string, any> what the user set, checked, with defaults
---@field stream string name of the stream, channel or destination
---@field now number Unix seconds
---@field device table<string, any> per-device data (transform, topic)
---@field state table<string, any> kept per stream and ident (transform)
---@field id string decimal, rising per device, the same on every attempt (transform, topic)
---@field ident string (transform, topic; hello and reply of a connection per device)
---@field conn table a table for each connection (decode, hello, reply)
---@field query table<string, string> (decode)
---@field headers table<string, string> names in lower case (decode)
---@field method string? (decode)
---@field topic string? (decode)
---@field peer string? (decode)

---@class sluice.item
---@field id string
---@field ident string
---@field timestamp number
---@field bytes string
---@field device table<string, any>

---Messages on their way: batch[i], #batch.
---@class sluice.batch
---@field body string
---@field [integer] sluice.item

---@class sluice.answer
---@field status integer
---@field headers table<string, string> names in lower case
---@field body string at most 255 KiB of it
---@field cut boolean there was more
---@field json fun(): any, string? the body as a value, or nil and why not

---@alias sluice.verdict "done"|"retry"|"split"|"refused"|"blocked"

---@class sluice.request
---@field url string?
---@field headers table<string, string>?
---@field body string?

---@class sluice.credentials
---@field headers table<string, string>?
---@field username string?
---@field password string?
---@field request sluice.request? ask this first; `token` makes credentials of what is answered

---@class sluice.adapter
---@field summary string?
---@field transport "http"|"mqtt"|"tcp"|nil
---@field connection "stream"|"device"|nil
---@field form integer?
---@field options table<string, table>?
---@field device table<string, table>?
---@field state table<string, "boolean"|"integer"|"number"|"string"|"table">?
---@field defaults table<string, any>?
---@field body {open: string?, separator: string?, close: string?, type: string?, most: integer?}?
---@field certificate boolean?
---@field transform (fun(msg: sluice.msg, ctx: sluice.ctx): any, string?)?
---@field decode (fun(bytes: string, ctx: sluice.ctx): table?, string?)?
---@field request (fun(batch: sluice.batch, ctx: sluice.ctx): sluice.request)?
---@field topic (fun(msg: sluice.msg, ctx: sluice.ctx): string?)?
---@field hello (fun(ctx: sluice.ctx): string, boolean?)?
---@field reply (fun(bytes: string, ctx: sluice.ctx): integer?, table|string|nil)?
---@field verdict (fun(answer: sluice.answer, batch: sluice.batch, ctx: sluice.ctx): sluice.verdict|table|nil, string?)?
---@field credentials (fun(ctx: sluice.ctx): sluice.credentials?, number|string|nil)?
---@field token (fun(answer: sluice.answer, ctx: sluice.ctx): sluice.credentials?, number|string|nil)?
---@field vectors sluice.vector[]?

---An example, of which the first value is the name: {"name", transform = …, want = …}, {"name", decode = …, want = …}, {"name", answer = …, want = …}, {"name", steps = …}.
---@class sluice.vector
---@field [1] string
---@field transform table|string|nil the message, as a table or as JSON text
---@field decode string?
---@field answer {status: integer?, body: any}?
---@field steps sluice.vector[]?
---@field want any
---@field skipped string?
---@field error string? a part of what it says
---@field options table<string, any>?
---@field device table<string, any>?
---@field state table<string, any>?
---@field id string?
---@field ident string?
---@field now number?
---@field batch table[]?
---@field method string?
---@field query string?
---@field topic string?
---@field peer string?

-- ---- libraries -----------------------------------------------------------------------------------------------------------------

json = {}
---Stands for null; it is true in an `if`.
json.null = nil ---@type userdata
---@param v any
---@return string
function json.encode(v) end
---@param text string
---@return any value, string? why
function json.decode(text) end
---A table that stays a list when it is empty.
---@param t table?
---@return table
function json.array(t) end
---A number that is written as these digits.
---@param digits string
---@return any
function json.number(digits) end

crypto = {}
---@param data string
---@return string bytes
function crypto.sha256(data) end
---@param data string
---@return string bytes
function crypto.sha1(data) end
---@param data string
---@return string bytes
function crypto.md5(data) end
---@param key string
---@param data string
---@return string bytes
function crypto.hmac_sha256(key, data) end
---@param pem string private key of at most 4096 bits, without a passphrase
---@param data string
---@return string bytes
function crypto.sign_rs256(pem, data) end
---@param data string
---@return string
function crypto.hex(data) end
---@param text string
---@return string? bytes
function crypto.unhex(text) end
---@param data string
---@return string
function crypto.base64(data) end
---@param data string
---@return string
function crypto.base64url(data) end
---@param text string either alphabet, padded or not
---@return string? bytes
function crypto.unbase64(text) end

time = {}
---@param seconds number?
---@param digits integer? of the second's fraction, 0 to 6
---@return string?
function time.iso(seconds, digits) end
---@param text string ISO 8601
---@return number? seconds
function time.parse(text) end
---@param seconds number?
---@return {year: integer, month: integer, day: integer, hour: integer, min: integer, sec: integer, usec: integer}?
function time.utc(seconds) end
---@param parts {year: integer, month: integer, day: integer, hour: integer?, min: integer?, sec: integer?}
---@return integer
function time.seconds(parts) end
---@param seconds number?
---@return integer?
function time.millis(seconds) end
---@param seconds number?
---@return integer?
function time.micros(seconds) end
---@param v number?
---@return number?
function time.from_millis(v) end
---@param v number?
---@return number?
function time.from_micros(v) end
---@param seconds number?
---@param form string %Y %m %d %H %M %S %y %L %f %s %%
---@return string?
function time.format(seconds, form) end
---@param text string
---@param form string as for time.format, without %s
---@return number? seconds
function time.scan(text, form) end

units = {}
---@param v number?
---@param digits integer? 0 gives an integer
---@return number?
function units.round(v, digits) end
---@param v number?
---@return number?
function units.kmh_to_ms(v) end
---@param v number?
---@return number?
function units.ms_to_kmh(v) end
---@param v number?
---@return number?
function units.kmh_to_knots(v) end
---@param v number?
---@return number?
function units.knots_to_kmh(v) end
---@param v number?
---@return number?
function units.kmh_to_mph(v) end
---@param v number?
---@return number?
function units.mph_to_kmh(v) end
---@param v number?
---@return number?
function units.km_to_m(v) end
---@param v number?
---@return number?
function units.m_to_km(v) end
---@param v number?
---@return number?
function units.km_to_miles(v) end
---@param v number?
---@return number?
function units.miles_to_km(v) end
---@param v number?
---@return number?
function units.km_to_nautical_miles(v) end
---@param v number?
---@return number?
function units.nautical_miles_to_km(v) end
---@param v number?
---@return number?
function units.m_to_feet(v) end
---@param v number?
---@return number?
function units.feet_to_m(v) end
---@param v number?
---@return number?
function units.l_to_gallons(v) end
---@param v number?
---@return number?
function units.gallons_to_l(v) end
---@param v number?
---@return number?
function units.kg_to_pounds(v) end
---@param v number?
---@return number?
function units.pounds_to_kg(v) end
---@param v number?
---@return number?
function units.bar_to_psi(v) end
---@param v number?
---@return number?
function units.psi_to_bar(v) end
---@param v number?
---@return number?
function units.c_to_f(v) end
---@param v number?
---@return number?
function units.f_to_c(v) end

geo = {}
---@param lat1 number?
---@param lon1 number?
---@param lat2 number?
---@param lon2 number?
---@return number? metres
function geo.distance(lat1, lon1, lat2, lon2) end
---@param lat1 number?
---@param lon1 number?
---@param lat2 number?
---@param lon2 number?
---@return number? degrees
function geo.bearing(lat1, lon1, lat2, lon2) end
---@param lat any
---@param lon any
---@return boolean
function geo.valid(lat, lon) end
---@param lat number?
---@param lon number?
---@param corners number[][]
---@return boolean
function geo.inside(lat, lon, corners) end
---@param lat number?
---@param lon number?
---@param south number
---@param west number
---@param north number
---@param east number
---@return boolean
function geo.in_box(lat, lon, south, west, north, east) end
---@param lat number?
---@param lon number?
---@param place_lat number
---@param place_lon number
---@param metres number
---@return boolean
function geo.near(lat, lon, place_lat, place_lon, metres) end

csv = {}
---@param values any[]
---@param separator string?
---@return string
function csv.join(values, separator) end
---@param line string
---@param separator string? one character
---@return string[]? values, string? why
function csv.split(line, separator) end

xml = {}
---@param v any
---@return string
function xml.escape(v) end
---@param element table {"name", attribute = value, content…}
---@return string
function xml.encode(element) end

form = {}
---@param values table by name, or a list of pairs
---@return string
function form.encode(values) end
---@param text string
---@return table<string, string>
function form.decode(text) end

url = {}
---@param v any
---@return string
function url.escape(v) end
---@param text string
---@return string
function url.unescape(text) end

log = {}
function log.debug(...) end
function log.info(...) end
function log.warn(...) end
