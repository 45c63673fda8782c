-- e-toll: positions for Poland's road toll system (SPOE KAS), as an operator of on-board units (OBU) or of an external localisation system
-- (ZSL) sends them: https with a client certificate of the e-TOLL authority, rows in JSON, and an answer that speaks of each row.
--
--   destinations:
--     kas: {type: e-toll, url: "https://communication.etoll.gov.pl/zsl/ssl/…", tls: {cert: kas.pem, key: kas.key}}
--
-- The url ends in your service's UUID; ask for access from the address you send from. A device is known there by its serial number: its
-- ident, or `serial` in the subscription. Source of all facts: the Ministry's OpenAPI description of the interface (github.com/tomi77/etoll-openapi).
--
-- A row has room for one event. What is one is the change from the message before: the ignition, external power, jamming, spoofing, the
-- fix. Of several at once the first of this list is said and the others by the rows that follow. What a device reports first is no
-- change, and neither is what comes late, from before the last one. A row without a position cannot be said at all: it is skipped,
-- and so is 0, 0, which receivers without a fix say. What a row may lack and a message has out of bounds, is left out; nothing is skipped
-- for its age (the system takes ten days).
local floor, format, tointeger, kind = math.floor, string.format, math.tointeger, math.type

local A = {
  summary = "e-TOLL, Poland's road toll system (SPOE KAS)",
  transport = "http",
  certificate = true,
  device = {
    serial = {type = "string", pattern = "^[A-Za-z0-9_-]{1,50}$", description = "Serial number the device is registered with; without it the ident is"},
  },
  state = {ignition = "boolean", power = "boolean", jamming = "boolean", spoofing = "boolean", fix = "boolean", since = "number"},
  defaults = {batch = {messages = 1000}, buffer = {ttl = "10d"}},
  body = {open = "[", separator = ",", close = "]", type = "application/json", most = 10000},
}

local FIRST, LAST = 1505865600, 9e12 -- 2017-09-20, the oldest fix that is taken; and what microseconds in 64 bits can say

-- A finite number, or nil.
local function number(v)
  if kind(v) and v - v == 0 then
    return v
  end
end

-- The numbers must be multiples of 1e-10 and 0.01. None has more than 14 digits, so that "%.14g" writes it exactly.
local function hundredths(v)
  return floor(v * 100 + 0.5) / 100
end

local function within(v, low, high)
  v = number(v)
  return v and v >= low and v <= high and v or nil
end

-- The same of what a row cannot lack, also where a device says it as text: a truck that moves must not seem to stand.
local function told(v)
  return number(type(v) == "string" and v:find("^-?%d+%.?%d*$") and tonumber(v) or v)
end

-- A text of so many digits, made of a number or taken as it is.
local function code(v, pattern, form, most)
  if type(v) == "string" then
    return v:match(pattern)
  end
  local n = kind(v) and tointeger(v)
  return n and n >= 0 and n <= most and format(form, n) or nil
end

-- The cell, where it is known: each part for itself, but the network of one source.
local function cell(msg)
  local mcc, mnc, lac, id = msg["gsm.mcc"], msg["gsm.mnc"], msg["gsm.lac"], msg["gsm.cellid"]
  mcc, mnc = mcc and code(mcc, "^%d%d%d$", "%03d", 999), mnc and code(mnc, "^%d%d%d?$", "%02d", 999)
  if not mcc or not mnc then
    local operator = msg["gsm.operator.code"]
    local country, network = (type(operator) == "string" and operator or ""):match("^(%d%d%d)(%d%d%d?)$")
    mcc, mnc = country or mcc, network or mnc
  end
  lac, id = lac and code(lac, "^%x%x%x%x$", "%04X", 0xFFFF), id and code(id, "^%x%x%x%x%x%x%x%x%x$", "%09X", 0xFFFFFFFFF)
  return (mcc and ',"mcc":"' .. mcc .. '"' or "") .. (mnc and ',"mnc":"' .. mnc .. '"' or "") .. (lac and ',"lac":"' .. lac .. '"' or "") ..
    (id and ',"mobileCellId":"' .. id .. '"' or "")
end

-- What may change, the first to be said first: the name in the state, and what the changes are called. Of a flag without `down` a message
-- that says nothing says that it is over.
local flags = {
  {name = "ignition", up = "startjourney", down = "endjourney"}, {name = "power", up = "plugon", down = "plugout"},
  {name = "jamming", up = "jamming"}, {name = "spoofing", up = "spoofing"}, {name = "fix", up = "gpsonline", down = "gpsoffline"},
}

local function changes(state, now_is, seconds, now)
  local said = "location"
  for _, flag in ipairs(flags) do
    local name, is = flag.name, now_is[flag.name]
    local was = state[name]
    if not flag.down then
      was = was == true
    end
    if type(is) == "boolean" and is ~= was then
      local change = is and flag.up or flag.down
      if was == nil or not change then
        state[name] = is
      elseif said == "location" then
        said, state[name] = change, is
        -- A clock that runs ahead must not make late all that follows.
        state.since = seconds < now and seconds or now
      end
    end
  end
  return said
end

local function event(msg, state, seconds, now)
  local ignition, power, fix = msg["engine.ignition.status"], msg["external.powersource.status"], msg["position.valid"]
  local jamming = msg["gsm.jamming.event"] == true or msg["gsm.jamming.status"] == true or msg["gnss.jamming.status"] == true
  local spoofing = msg["gnss.spoofing.status"] == true
  if fix == nil then
    fix = msg["gnss.status"]
  end
  -- Mostly nothing has changed.
  if (ignition == nil or ignition == state.ignition) and (power == nil or power == state.power) and (fix == nil or fix == state.fix) and
    jamming == (state.jamming or false) and spoofing == (state.spoofing or false) or state.since and seconds < state.since then
    return "location"
  end
  return changes(state, {ignition = ignition, power = power, jamming = jamming, spoofing = spoofing, fix = fix}, seconds, now)
end

function A.transform(msg, ctx)
  local lat, lon = number(msg["position.latitude"]), number(msg["position.longitude"])
  if not lat or not lon then
    return nil, "no position"
  end
  if lat < -90 or lat > 90 or lon < -180 or lon > 180 then
    return nil, "a position that is none on Earth"
  end
  lat, lon = floor(lat * 1e10 + 0.5) / 1e10, floor(lon * 1e10 + 0.5) / 1e10
  if lat == 0 and lon == 0 then
    return nil, "no position" -- what a receiver without a fix says
  end
  local seconds, serial = number(msg.timestamp), ctx.device.serial or ctx.ident
  if not seconds or seconds < FIRST or seconds > LAST then
    return nil, "a time before 20 September 2017, or one that is none"
  end
  if #serial > 50 or not serial:find("^[A-Za-z0-9_-]+$") then
    return nil, "a serial number is 1 to 50 letters, digits, - and _"
  end
  local speed, altitude, accuracy = told(msg["position.speed"]) or 0, within(msg["position.altitude"], -1000, 4000),
    within(msg["position.accuracy"], 0, 1e7)
  speed = speed <= 0 and 0 or speed >= 201.6 and 56 or hundredths(speed / 3.6)
  return format('{"dataId":"%s","serialNumber":"%s","fixTimeEpoch":%d,"latitude":%.14g,"longitude":%.14g,"gpsSpeed":%.14g,"gpsHeading":%.14g,' ..
    '"satellitesForFix":%d,"eventType":"%s"%s%s%s}', ctx.id, serial,
    kind(seconds) == "integer" and seconds * 1000000 or floor(seconds * 1e6 + 0.5), lat, lon, speed, hundredths((told(msg["position.direction"]) or 0) % 360),
    floor(within(told(msg["position.satellites"]), 0, 90) or 0), event(msg, ctx.state, seconds, ctx.now),
    altitude and format(',"altitude":%.14g', hundredths(altitude)) or "", accuracy and format(',"accuracy":%.14g', hundredths(accuracy)) or "", cell(msg))
end

-- ---- what is answered -------------------------------------------------------------------------------------------------------------

local function words(warning)
  return tostring(warning.code or "?") .. (type(warning.msg) == "string" and ": " .. warning.msg or "")
end

-- Rows that were not taken are named by serial number and fix time; the batch is looked at only when there are such.
local function rows_by_name(batch)
  local rows = {}
  for i = 1, #batch do
    local serial, at = batch[i].bytes:match('^{"dataId":"[^"]*","serialNumber":"([^"]*)","fixTimeEpoch":(%d+)')
    local name = serial:lower() .. "@" .. at
    rows[name] = rows[name] or {}
    table.insert(rows[name], i)
  end
  return rows
end

local function dropped(warnings, batch)
  local list, rows
  for _, w in ipairs(warnings) do
    if type(w) == "table" and w.action == "drop" then
      rows = rows or rows_by_name(batch)
      local of_name = rows[string.format("%s@%s", tostring(w.dev):lower(), tostring(kind(w.tsp) and tointeger(w.tsp) or w.tsp))]
      local i = of_name and table.remove(of_name, 1)
      if i then
        list = list or {}
        list[i] = {"refused", "e-TOLL dropped it, " .. words(w)}
      else
        log.warn(string.format("e-TOLL says it dropped a row that was not in the batch: device %s, time %s, %s", tostring(w.dev), tostring(w.tsp), words(w)))
      end
    elseif type(w) == "table" then
      log.warn(string.format("e-TOLL took a row with a warning: device %s, %s", tostring(w.dev), words(w)))
    end
  end
  for i = 1, list and #batch or 0 do
    list[i] = list[i] or "done"
  end
  return list or "done"
end

function A.verdict(answer, batch)
  local status, said = answer.status, answer.json()
  if type(said) ~= "table" then
    said = nil
  end
  if status == 400 or status == 415 then
    local first = said and type(said.validation_error) == "table" and said.validation_error[1]
    return "split", type(first) == "string" and "e-TOLL: " .. first or nil
  elseif status == 401 or status == 404 or status == 405 then
    return "blocked", string.format("e-TOLL answered %d: look at the service's url, its certificate, and the address you send from", status)
  elseif status ~= 200 then
    return nil
  elseif answer.cut then
    return "split", "e-TOLL's answer is too long to find the rows in"
  elseif not said or said.result ~= "OK" then
    return "retry", "e-TOLL answered 200, but not that it took the rows" .. (said and said.code and ": " .. tostring(said.code) or "")
  end
  return dropped(type(said.warning) == "table" and said.warning or {}, batch)
end

-- ---- vectors --------------------------------------------------------------------------------------------------------------------------

local order = {"dataId", "serialNumber", "fixTimeEpoch", "latitude", "longitude", "gpsSpeed", "gpsHeading", "satellitesForFix", "eventType", "altitude",
  "accuracy", "mcc", "mnc", "lac", "mobileCellId"}
local plain = {dataId = '"1960472"', serialNumber = '"35A058060495422C7934"', fixTimeEpoch = "1511273867317000", latitude = "52.138791",
  longitude = "18.61839", gpsSpeed = "0", gpsHeading = "0", satellitesForFix = "0", eventType = '"location"'}

local function row(changed)
  local parts = {}
  for _, key in ipairs(order) do
    local v = changed[key] or plain[key]
    if v then
      table.insert(parts, '"' .. key .. '":' .. v)
    end
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

-- A message at a place and time that is fine, with `more` behind; what its row has beyond the plainest, or the reason it has none.
local function about(name, more, changed, given)
  local v = {name, id = "1960472", now = 1511273900, ident = "35A058060495422C7934",
    transform = '{"ident":"35A058060495422C7934","timestamp":1511273867.317,"position.latitude":52.138791,"position.longitude":18.618390' .. more .. "}"}
  if type(changed) == "string" then
    v.skipped = changed
  else
    v.want = row(changed)
  end
  for key, value in pairs(given or {}) do
    v[key] = value
  end
  return v
end

local function at(name, timestamp, lat, lon, changed)
  return about(name, "", changed, {transform = string.format('{"ident":"35A058060495422C7934","timestamp":%s,"position.latitude":%s,"position.longitude":%s}',
    timestamp, lat, lon)})
end

local function says(name, more, said, seconds)
  return about(name, more, {eventType = '"' .. said .. '"', fixTimeEpoch = seconds and string.format("%d", seconds * 1000000)}, seconds and
    {transform = string.format('{"timestamp":%d,"position.latitude":52.138791,"position.longitude":18.618390%s}', seconds, more)} or nil)
end

local time, place, known, edge = "a time before 20 September 2017, or one that is none", "a position that is none on Earth", "1511273867.317", "1e-10"
local two = {{id = "1", bytes = row{dataId = '"1"'}}, {id = "2", bytes = row{dataId = '"2"', fixTimeEpoch = "1511273868317000"}}}

local function answered(name, status, body, want, batch)
  return {name, answer = {status = status, body = body}, batch = batch or two, want = want}
end

A.vectors = {
  about("the plainest row", "", {}),
  about("all of it", ',"position.altitude":96.5,"position.speed":72,"position.direction":230.0,"position.satellites":10,"position.accuracy":2.5,' ..
    '"gsm.mcc":260,"gsm.mnc":1,"gsm.lac":4660,"gsm.cellid":11511', {gpsSpeed = "20", gpsHeading = "230", satellitesForFix = "10", altitude = "96.5",
    accuracy = "2.5", mcc = '"260"', mnc = '"01"', lac = '"1234"', mobileCellId = '"000002CF7"'}),
  -- where
  {"without a position", transform = '{"ident":"a","timestamp":1511273867,"position.latitude":52.1}', skipped = "no position"},
  at("a position that is null", known, "null", "18.6", "no position"),
  at("a position that is a text", known, '"52.1"', "18.6", "no position"),
  at("the poles and the date line", known, "-90", "180.0", {latitude = "-90", longitude = "180"}),
  at("the other pole, the other side", known, "90.0000000000", "-180", {latitude = "90", longitude = "-180"}),
  at("north of the pole", known, "90.00000000000001", "18.6", place),
  at("beyond the date line", known, "52.1", "-180.1", place),
  at("an infinite latitude", known, "1e999", "18.6", "no position"),
  at("ten decimals", known, "52.1387910123", "-18.6183900001", {latitude = "52.1387910123", longitude = "-18.6183900001"}),
  at("more than ten", known, "52.13879101234567", "118.61839000005", {latitude = "52.1387910123", longitude = "118.6183900001"}),
  at("the smallest step", known, edge, "-1e-10", {latitude = "1e-10", longitude = "-1e-10"}),
  at("less than the smallest step", known, "4.9e-11", "18.6", {latitude = "0", longitude = "18.6"}),
  at("a zero below zero", known, "-0.0", "18.6", {latitude = "0", longitude = "18.6"}),
  at("a receiver without a fix", known, "0", "0.0", "no position"),
  at("less than the smallest step beside it", known, "4.9e-11", "-4.9e-11", "no position"),
  at("numbers with an exponent", known, "5.2138791E1", "1861839e-5", {}),
  -- when
  at("microseconds", "1511273867.317001", "52.138791", "18.61839", {fixTimeEpoch = "1511273867317001"}),
  at("the last microsecond of a second", "1767323045.999999", "52.138791", "18.61839", {fixTimeEpoch = "1767323045999999"}),
  at("less than a microsecond", "1767323045.9999996", "52.138791", "18.61839", {fixTimeEpoch = "1767323046000000"}),
  at("whole seconds", "1511273867", "52.138791", "18.61839", {fixTimeEpoch = "1511273867000000"}),
  at("seconds with an exponent", "1.511273867E9", "52.138791", "18.61839", {fixTimeEpoch = "1511273867000000"}),
  at("the oldest time", "1505865600", "52.138791", "18.61839", {fixTimeEpoch = "1505865600000000"}),
  at("a microsecond older", "1505865599.999999", "52.138791", "18.61839", time),
  at("before 1970", "-2147483647.792657", "52.138791", "18.61839", time),
  at("milliseconds taken for seconds", "1511273867317", "52.138791", "18.61839", {fixTimeEpoch = "1511273867317000000"}),
  at("the last second that can be said", "9000000000000", "52.138791", "18.61839", {fixTimeEpoch = "9000000000000000000"}),
  at("a second later", "9000000000001", "52.138791", "18.61839", time),
  at("a number of many digits", "15112738673170000000000", "52.138791", "18.61839", time),
  -- how fast, where to, how high
  about("the fastest", ',"position.speed":201.6', {gpsSpeed = "56"}),
  about("faster", ',"position.speed":1073.68', {gpsSpeed = "56"}),
  about("a little slower", ',"position.speed":201.55', {gpsSpeed = "55.99"}),
  about("rounded to hundredths", ',"position.speed":50', {gpsSpeed = "13.89"}),
  about("slower than can be said", ',"position.speed":0.017', {gpsSpeed = "0"}),
  about("backwards", ',"position.speed":-5', {gpsSpeed = "0"}),
  about("a speed, a direction and satellites said as text", ',"position.speed":"72","position.direction":"90.5","position.satellites":"9"',
    {gpsSpeed = "20", gpsHeading = "90.5", satellitesForFix = "9"}),
  about("a speed in hexadecimal", ',"position.speed":"0x48"', {gpsSpeed = "0"}),
  about("a speed that is no number", ',"position.speed":"fast"', {gpsSpeed = "0"}),
  about("all round", ',"position.direction":360', {gpsHeading = "0"}),
  about("left of north", ',"position.direction":-1', {gpsHeading = "359"}),
  about("twice round", ',"position.direction":720.009', {gpsHeading = "0.01"}),
  about("nearly round", ',"position.direction":359.999', {gpsHeading = "360"}),
  about("a direction that is null", ',"position.direction":null', {gpsHeading = "0"}),
  about("the lowest", ',"position.altitude":-1000', {altitude = "-1000"}),
  about("the highest", ',"position.altitude":4000.00', {altitude = "4000"}),
  about("lower is left out", ',"position.altitude":-1000.01', {}),
  about("higher is left out", ',"position.altitude":4000.001', {}),
  about("an altitude in hundredths", ',"position.altitude":96.554999', {altitude = "96.55"}),
  about("an altitude just below zero", ',"position.altitude":-0.004', {altitude = "0"}),
  about("an accuracy of nothing", ',"position.accuracy":0', {accuracy = "0"}),
  about("an accuracy below nothing is left out", ',"position.accuracy":-1', {}),
  about("most satellites", ',"position.satellites":90', {satellitesForFix = "90"}),
  about("more than there are", ',"position.satellites":91', {}),
  about("satellites with a fraction", ',"position.satellites":7.9', {satellitesForFix = "7"}),
  -- cells
  about("a code with leading zeros", ',"gsm.mcc":1,"gsm.mnc":"06"', {mcc = '"001"', mnc = '"06"'}),
  about("codes of three digits", ',"gsm.mcc":"310","gsm.mnc":410', {mcc = '"310"', mnc = '"410"'}),
  about("codes out of bounds are left out", ',"gsm.mcc":1000,"gsm.mnc":-1,"gsm.lac":65536,"gsm.cellid":68719476736', {}),
  about("codes at their bounds", ',"gsm.mcc":999,"gsm.mnc":999,"gsm.lac":65535,"gsm.cellid":68719476735',
    {mcc = '"999"', mnc = '"999"', lac = '"FFFF"', mobileCellId = '"FFFFFFFFF"'}),
  about("codes with a fraction are left out", ',"gsm.mcc":260.5,"gsm.lac":1.5,"gsm.cellid":0.1', {}),
  about("whole numbers with a point", ',"gsm.mcc":260.0,"gsm.lac":0.0,"gsm.cellid":1e3', {mcc = '"260"', lac = '"0000"', mobileCellId = '"0000003E8"'}),
  about("hexadecimal texts", ',"gsm.lac":"0a9F","gsm.cellid":"00ABCDEF1"', {lac = '"0a9F"', mobileCellId = '"00ABCDEF1"'}),
  about("texts that are not", ',"gsm.lac":"12345","gsm.cellid":"G0ABCDEF1","gsm.mcc":"26","gsm.mnc":"1"', {}),
  about("the operator's code", ',"gsm.operator.code":"26001"', {mcc = '"260"', mnc = '"01"'}),
  about("the operator's code where the network is none", ',"gsm.mcc":260,"gsm.mnc":-1,"gsm.operator.code":"31006"', {mcc = '"310"', mnc = '"06"'}),
  about("the operator's code where the country is none", ',"gsm.mcc":"x","gsm.mnc":1,"gsm.operator.code":"26006"', {mcc = '"260"', mnc = '"06"'}),
  about("a country without a network", ',"gsm.mcc":260,"gsm.mnc":-1,"gsm.operator.code":"Plus"', {mcc = '"260"'}),
  about("an operator's code that is none", ',"gsm.operator.code":"Plus"', {}),
  -- who
  about("a serial number of its own", "", {serialNumber = '"OBU_1-x"'}, {device = {serial = "OBU_1-x"}}),
  about("an ident that cannot be one", "", "a serial number is 1 to 50 letters, digits, - and _", {ident = "+48 600"}),
  about("an ident of 50 bytes", "", {serialNumber = '"' .. ("a"):rep(50) .. '"'}, {ident = ("a"):rep(50)}),
  about("an ident of 51", "", "a serial number is 1 to 50 letters, digits, - and _", {ident = ("a"):rep(51)}),
  -- events
  {"a journey", steps = {
    says("first seen with the engine off", ',"engine.ignition.status":false', "location"),
    says("begins", ',"engine.ignition.status":true', "startjourney"),
    says("goes on", ',"engine.ignition.status":true', "location"),
    says("says nothing of it", "", "location"),
    says("ends", ',"engine.ignition.status":false', "endjourney"),
    says("has ended", ',"engine.ignition.status":false', "location"),
  }},
  {"first seen on the way", steps = {
    says("no journey has begun that we know of", ',"engine.ignition.status":true', "location"),
    says("but one ends", ',"engine.ignition.status":false', "endjourney"),
  }},
  about("a state from earlier", ',"engine.ignition.status":true', {eventType = '"startjourney"'}, {state = {ignition = false}}),
  {"two at once are said one after the other", steps = {
    says("both on", ',"engine.ignition.status":true,"external.powersource.status":true', "location"),
    says("both off", ',"engine.ignition.status":false,"external.powersource.status":false', "endjourney"),
    says("the second", ',"engine.ignition.status":false,"external.powersource.status":false', "plugout"),
    says("no third", ',"engine.ignition.status":false,"external.powersource.status":false', "location"),
    says("plugged in", ',"external.powersource.status":true', "plugon"),
  }},
  {"jamming is over when nothing is said of it", steps = {
    says("begins", ',"gsm.jamming.event":true', "jamming"),
    says("lasts", ',"gsm.jamming.status":true', "location"),
    says("over", "", "location"),
    says("begins again", ',"gnss.jamming.status":true', "jamming"),
    says("spoofing", ',"gnss.spoofing.status":true', "spoofing"),
    says("jamming and spoofing", ',"gsm.jamming.event":true,"gnss.spoofing.status":true', "jamming"),
  }},
  {"the fix", steps = {
    says("there", ',"position.valid":true', "location"),
    says("lost", ',"position.valid":false,"gnss.status":true', "gpsoffline"),
    says("still lost", ',"position.valid":false', "location"),
    says("found, in other words", ',"gnss.status":true', "gpsonline"),
    says("null is no word", ',"position.valid":null', "location"),
  }},
  {"what comes late changes nothing", steps = {
    says("first", ',"engine.ignition.status":true', "location", 1511273100),
    says("off", ',"engine.ignition.status":false', "endjourney", 1511273200),
    says("an older one", ',"engine.ignition.status":true', "location", 1511273150),
    says("still off", ',"engine.ignition.status":false', "location", 1511273300),
    says("on", ',"engine.ignition.status":true', "startjourney", 1511273400),
    says("off, by a clock that runs ahead", ',"engine.ignition.status":false', "endjourney", 1700000000),
    says("and on, by one that does not", ',"engine.ignition.status":true', "startjourney", 1511273950),
  }},
  -- answers
  answered("taken", 200, '{"result":"OK"}', "done"),
  answered("taken, with an empty list", 200, '{"result":"OK","code":"0","validation_error":[],"warning":[]}', "done"),
  answered("taken with a warning", 200, '{"result":"OK","warning":[{"tsp":1511273867317000,"code":"tsp-past","dev":"35A058060495422C7934","action":"pass"}]}', "done"),
  answered("one row dropped", 200, '{"result":"OK","warning":[{"tsp":1511273868317000,"msg":"outside","code":"not-pl","dev":"35a058060495422c7934","action":"drop"}]}',
    {"done", {"refused", "e-TOLL dropped it, not-pl: outside"}}),
  answered("a row whose time has an exponent", 200, '{"result":"OK","warning":[{"tsp":1.511273868317e15,"code":"not-pl","dev":"35A058060495422C7934","action":"drop"}]}',
    {"done", {"refused", "e-TOLL dropped it, not-pl"}}),
  answered("two rows of one time", 200, '{"result":"OK","warning":[{"tsp":1511273867317000,"code":"dev-unknown","dev":"35A058060495422C7934","action":"drop"},' ..
    '{"tsp":1511273867317000,"code":"dev-unknown","dev":"35A058060495422C7934","action":"drop"}]}',
    {{"refused", "e-TOLL dropped it, dev-unknown"}, {"refused", "e-TOLL dropped it, dev-unknown"}}, {two[1], two[1]}),
  answered("a row dropped that nobody sent", 200, '{"result":"OK","warning":[{"tsp":1,"code":"dev-unknown","dev":"x","action":"drop"}]}', "done"),
  answered("200 and an error", 200, '{"result":"ERROR","code":"17"}', "retry"),
  answered("200 from somebody else", 200, "<html>", "retry"),
  answered("200 and a text", 200, '"OK"', "retry"),
  answered("not valid", 400, '{"result":"ERROR","validation_error":["[3].gpsSpeed: maximum"]}', "split"),
  answered("not valid, without a word", 400, "", "split"),
  answered("not this kind", 415, "", "split"),
  answered("who are you", 401, "", "blocked"),
  answered("not here", 404, '{"timestamp":1,"status":404,"error":"Not Found","message":"x"}', "blocked"),
  answered("not so", 405, "", "blocked"),
  answered("not now", 503, "", "none"),
  answered("too much at once", 413, "", "none"),
}

return A
