-- prelude.lua: what every adapter finds beside the libraries written in C: units, calendars, and the forms in which platforms take data.
--
-- Runs once for each Lua state, before any adapter. It returns libraries; where one of that name exists (time, geo, crypto) its functions join
-- it. A function that is given something else than the number it expects gives nil, so that what a message lacks is left out. All
-- loops are over what was given and in Lua, so the call's budget sees them. Each function has its line in lua/ADAPTERS.md, which is a test.
local floor, char = math.floor, string.char

local function is_number(v)
  return type(v) == "number"
end

-- A value as text: numbers with all their digits, nothing for nil and null.
local function text_of(v)
  if type(v) == "string" then
    return v
  end
  return (v == nil or v == json.null) and "" or json.encode(v)
end

local function want_text(v, what)
  if type(v) ~= "string" then
    error(what .. " takes a text, not a " .. type(v), 3)
  end
end

local function sorted_names(t, what)
  local names = {}
  for name in pairs(t) do
    if type(name) == "string" then
      names[#names + 1] = name
    elseif math.type(name) ~= "integer" then
      error(what .. ": a name that is a " .. type(name), 3)
    end
  end
  table.sort(names)
  return names
end

-- ---- units -----------------------------------------------------------------------------------------------------------------

local units = {}

local factors = {
  kmh = {ms = 1 / 3.6, knots = 1 / 1.852, mph = 1 / 1.609344}, km = {m = 1000, miles = 1 / 1.609344, nautical_miles = 1 / 1.852},
  m = {feet = 1 / 0.3048}, l = {gallons = 1 / 3.785411784}, kg = {pounds = 1 / 0.45359237}, bar = {psi = 1 / 0.0689475729},
}
local inverse = {
  ms = {kmh = 3.6}, knots = {kmh = 1.852}, mph = {kmh = 1.609344}, m = {km = 1 / 1000}, miles = {km = 1.609344}, nautical_miles = {km = 1.852},
  feet = {m = 0.3048}, gallons = {l = 3.785411784}, pounds = {kg = 0.45359237}, psi = {bar = 0.0689475729},
}

for _, list in ipairs{factors, inverse} do
  for from, targets in pairs(list) do
    for to, factor in pairs(targets) do
      units[from .. "_to_" .. to] = function(v)
        return is_number(v) and v * factor or nil
      end
    end
  end
end

function units.c_to_f(v)
  return is_number(v) and v * 1.8 + 32 or nil
end

function units.f_to_c(v)
  return is_number(v) and (v - 32) / 1.8 or nil
end

-- To so many digits behind the point; without digits an integer. Halves go away from zero.
function units.round(v, digits)
  if not is_number(v) or v ~= v or v == math.huge or v == -math.huge then
    return nil
  end
  if math.type(v) == "integer" then
    return v
  end
  local scale = 10.0 ^ (digits or 0)
  local scaled = v * scale
  if scaled >= 2 ^ 53 or scaled <= -2 ^ 53 then
    return v                                     -- it has no more digits than that
  end
  local whole = scaled < 0 and -floor(0.5 - scaled) or floor(scaled + 0.5)
  return digits and digits > 0 and whole / scale or whole
end

-- ---- time: joins what C has (iso, parse, utc, seconds) ------------------------------------------------------------------------

local times = {}

function times.millis(seconds)
  return is_number(seconds) and floor(seconds * 1000 + 0.5) or nil
end

function times.micros(seconds)
  return is_number(seconds) and floor(seconds * 1000000 + 0.5) or nil
end

local function part_of(v, scale)
  if not is_number(v) then
    return nil
  end
  return math.type(v) == "integer" and v % scale == 0 and v // scale or v / scale
end

function times.from_millis(v)
  return part_of(v, 1000)
end

function times.from_micros(v)
  return part_of(v, 1000000)
end

-- What may stand behind a %, with the digits it takes: written by format, read by scan. A year of two digits is of 1970 to 2069.
local parts = {
  Y = {"year", 4}, m = {"month", 2}, d = {"day", 2}, H = {"hour", 2}, M = {"min", 2}, S = {"sec", 2}, y = {"year", 2}, L = {"usec", 3}, f = {"usec", 6},
}

function times.format(seconds, form)
  want_text(form, "time.format")
  local t = time.utc(seconds)
  if not t then
    return nil
  end
  return (form:gsub("%%(.?)", function(c)
    local p = parts[c]
    if c == "%" then
      return "%"
    elseif c == "s" then
      return tostring(floor(seconds))
    elseif not p then
      error("time.format: there is no %" .. c, 4)
    end
    local v = t[p[1]]
    return string.format("%0" .. p[2] .. "d", c == "y" and v % 100 or c == "L" and v // 1000 or v)
  end))
end

function times.scan(text, form)
  want_text(text, "time.scan")
  want_text(form, "time.scan")
  local t, at, i = {month = 1, day = 1}, 1, 1
  while i <= #form do
    local c = form:sub(i, i)
    local p = c == "%" and parts[form:sub(i + 1, i + 1)]
    if p then
      local digits = text:sub(at, at + p[2] - 1)
      if #digits ~= p[2] or digits:find("%D") then
        return nil
      end
      local v, kind = tonumber(digits), form:sub(i + 1, i + 1)
      t[p[1]] = kind == "y" and (v < 70 and 2000 + v or 1900 + v) or kind == "L" and v * 1000 or v
      at, i = at + p[2], i + 2
    else
      if c == "%" then
        i = i + 1
        c = form:sub(i, i)
        if c ~= "%" then
          error("time.scan: there is no %" .. c, 2)
        end
      end
      if text:sub(at, at) ~= c then
        return nil
      end
      at, i = at + 1, i + 1
    end
  end
  if at <= #text or not t.year then
    return nil
  end
  local fine, seconds = pcall(time.seconds, t)   -- a 30th of February is no time
  if not fine then
    return nil
  end
  return (t.usec or 0) == 0 and seconds or seconds + t.usec / 1000000
end

-- ---- crypto: joins what C has (hex, base64, …) -----------------------------------------------------------------------------------

local crypt = {}

-- "00ff" → two bytes; nil if it is no hex.
function crypt.unhex(text)
  want_text(text, "crypto.unhex")
  if #text % 2 == 1 or text:find("%X") then
    return nil
  end
  return (text:gsub("%x%x", function(two) return char(tonumber(two, 16)) end))
end

-- ---- csv: lines as RFC 4180 has them ---------------------------------------------------------------------------------------------

local csv = {}

function csv.join(values, separator)
  if type(values) ~= "table" then
    error("csv.join takes a list, not a " .. type(values), 2)
  end
  local sep, out, n = separator or ",", {}, values.n or #values
  for i = 1, n do
    local s = text_of(values[i])
    if s:find(sep, 1, true) or s:find('["\r\n]') then
      s = '"' .. s:gsub('"', '""') .. '"'
    end
    out[i] = s
  end
  return table.concat(out, sep)
end

-- One line → its values, all of them texts. nil and why where a quote is not closed.
function csv.split(line, separator)
  want_text(line, "csv.split")
  local sep, out, at = separator or ",", {}, 1
  if #sep ~= 1 then
    error("csv.split: one character separates", 2)
  end
  repeat
    if line:sub(at, at) == '"' then
      local from, pieces = at + 1, {}
      while true do
        local quote = line:find('"', from, true)
        if not quote then
          return nil, "a quote at byte " .. at .. " is not closed"
        end
        pieces[#pieces + 1] = line:sub(from, quote - 1)
        from = quote + 1
        if line:sub(from, from) ~= '"' then
          break
        end
        pieces[#pieces + 1] = '"'
        from = from + 1
      end
      if from <= #line and line:sub(from, from) ~= sep then
        return nil, "more text behind the quote at byte " .. from
      end
      out[#out + 1] = table.concat(pieces)
      at = from
    else
      local stop = line:find(sep, at, true) or #line + 1
      out[#out + 1] = line:sub(at, stop - 1)
      at = stop
    end
    at = at + 1
  until at > #line + 1
  return out
end

-- ---- xml -----------------------------------------------------------------------------------------------------------------------

local xml = {}
local entities = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&apos;", ["\n"] = "&#10;", ["\r"] = "&#13;", ["\t"] = "&#9;"}

-- XML cannot hold other control characters in any form: they become U+FFFD.
function xml.escape(v)
  return (text_of(v):gsub("[%c&<>\"']", function(c)
    return entities[c] or c ~= "\127" and "\u{FFFD}" or nil
  end))
end

local function add_element(out, e)
  local name = type(e) == "table" and e[1]
  if type(name) ~= "string" or not name:find("^[%a_][%w_.:-]*$") then
    error("xml.encode: an element is {\"name\", attribute = value, content…}", 0)
  end
  out[#out + 1] = "<" .. name
  for _, key in ipairs(sorted_names(e, "xml.encode")) do
    if not key:find("^[%a_][%w_.:-]*$") then
      error("xml.encode: " .. key .. " is no name of an attribute", 0)
    end
    out[#out + 1] = " " .. key .. '="' .. xml.escape(e[key]) .. '"'
  end
  if #e == 1 then
    out[#out + 1] = "/>"
    return
  end
  out[#out + 1] = ">"
  for i = 2, #e do
    if type(e[i]) == "table" then
      add_element(out, e[i])
    else
      out[#out + 1] = xml.escape(e[i])
    end
  end
  out[#out + 1] = "</" .. name .. ">"
end

function xml.encode(element)
  local out = {}
  add_element(out, element)
  return table.concat(out)
end

-- ---- url and form --------------------------------------------------------------------------------------------------------------

local url, form = {}, {}

local function percent(c)
  return string.format("%%%02X", c:byte())
end

local function byte_of(two)
  return char(tonumber(two, 16))
end

-- All but letters, digits and - . _ ~ as %XX (RFC 3986).
function url.escape(v)
  return (text_of(v):gsub("[^%w._~-]", percent))
end

function url.unescape(text)
  want_text(text, "url.unescape")
  return (text:gsub("%%(%x%x)", byte_of))
end

local function form_text(v)
  return (text_of(v):gsub("[^%w*._ -]", percent):gsub(" ", "+"))
end

-- {a = 1} in the order of names, {{"b", 2}, {"a", 1}} in the order given.
function form.encode(values)
  if type(values) ~= "table" then
    error("form.encode takes a table, not a " .. type(values), 2)
  end
  local out = {}
  for i = 1, #values do
    local pair = values[i]
    if type(pair) ~= "table" then
      error("form.encode: item " .. i .. " is no pair {name, value}", 2)
    end
    out[i] = form_text(pair[1]) .. "=" .. form_text(pair[2])
  end
  for _, name in ipairs(sorted_names(values, "form.encode")) do
    out[#out + 1] = form_text(name) .. "=" .. form_text(values[name])
  end
  return table.concat(out, "&")
end

-- Of a name given twice the last counts.
function form.decode(text)
  want_text(text, "form.decode")
  local out = {}
  for pair in text:gmatch("[^&]+") do
    local name, value = pair:match("^([^=]*)=?(.*)$")
    out[url.unescape((name:gsub("+", " ")))] = url.unescape((value:gsub("+", " ")))
  end
  return out
end

-- ---- geo: joins what C has (distance, bearing, valid, inside) --------------------------------------------------------------------

local areas = {}

-- Is it between these parallels and meridians? West may lie east of east: then the box goes over the 180th meridian.
function areas.in_box(lat, lon, south, west, north, east)
  if not (is_number(lat) and is_number(lon)) then
    return false
  end
  if lat < south or lat > north then
    return false
  elseif west <= east then
    return lon >= west and lon <= east
  end
  return lon >= west or lon <= east
end

-- Is it within so many metres of a place?
function areas.near(lat, lon, place_lat, place_lon, metres)
  local distance = geo.distance(lat, lon, place_lat, place_lon)
  return distance ~= nil and is_number(metres) and distance <= metres
end

return {units = units, time = times, crypto = crypt, csv = csv, xml = xml, url = url, form = form, geo = areas}
