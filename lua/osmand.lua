-- osmand: the protocol of OsmAnd, Traccar Client and many a home-made tracker: one position as parameters of a request.
--
-- They stand in the query or in a form's body, or, from newer clients, in a JSON object. The channel must take the method that is used
-- (`methods: [GET, POST]`). Speed is in knots, or in m/s in JSON; times without a zone are taken as UTC. What has no name of ours is kept
-- under custom.
local A = {summary = "OsmAnd and Traccar Client: one position a request, as parameters or JSON"}

local names = {
  altitude = "position.altitude", bearing = "position.direction", heading = "position.direction", accuracy = "position.accuracy",
  hdop = "position.hdop", batt = "battery.level", charge = "battery.charging.status", valid = "position.valid",
}
local handled = {id = true, deviceid = true, lat = true, lon = true, location = true, speed = true, timestamp = true, driverUniqueId = true}

-- A text as the value it writes. What would lose digits or leading zeros stays a text: it is a name, not a number.
local function value_of(text)
  if text == "true" or text == "false" then
    return text == "true"
  end
  if #text <= 15 and text:match("^%-?%d+%.?%d*$") and not text:match("^%-?0%d") then
    return tonumber(text)
  end
  return text
end

local function time_of(text)
  local n = value_of(text)
  if type(n) == "number" then
    return n >= 2147483647 and n / 1000 or n
  end
  return time.parse((text:gsub("^(%d+%-%d+%-%d+) (%d+:%d+:%d+)$", "%1T%2Z"))) or text
end

local function rounded(v)
  return math.floor(v * 1000 + 0.5) / 1000
end

local function plain(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function from_parameters(q)
  local message = {ident = q.id or q.deviceid, ["driver.id"] = q.driverUniqueId}
  local lat, lon = q.lat, q.lon
  if q.location then
    lat, lon = q.location:match("^([^,]+),([^,]+)$")
  end
  message["position.latitude"], message["position.longitude"] = lat and value_of(lat), lon and value_of(lon)
  message.timestamp = q.timestamp and time_of(q.timestamp)
  local speed = q.speed and value_of(q.speed)
  message["position.speed"] = type(speed) == "number" and rounded(speed * 1.852) or speed
  for key, text in pairs(q) do
    if not handled[key] then
      message[names[key] or "custom." .. key] = value_of(text)
    end
  end
  return message
end

local function given(v)
  if v ~= json.null then
    return v
  end
end

-- Here -1 says that there is no value.
local function measured(v)
  return type(v) == "number" and v >= 0 and v or nil
end

local function from_json(all)
  local l = all.location
  local c, battery = type(l.coords) == "table" and l.coords or {}, type(l.battery) == "table" and l.battery or {}
  local level, at, speed, metres = measured(battery.level), given(l.timestamp), measured(c.speed), measured(l.odometer)
  local message = {
    ident = given(all.device_id), timestamp = type(at) == "string" and time.parse(at) or at, ["position.latitude"] = given(c.latitude),
    ["position.longitude"] = given(c.longitude), ["position.altitude"] = given(c.altitude), ["position.accuracy"] = measured(c.accuracy),
    ["position.direction"] = measured(c.heading), ["position.speed"] = speed and rounded(speed * 3.6),
    ["movement.status"] = given(l.is_moving), ["vehicle.mileage"] = metres and rounded(metres / 1000),
    ["battery.level"] = level and rounded(level * 100), ["battery.charging.status"] = given(battery.is_charging),
    ["custom.event"] = given(l.event), ["custom.alarm"] = given(l.alarm),
    ["custom.activity"] = type(l.activity) == "table" and given(l.activity.type) or nil,
  }
  for key, v in pairs(type(l.extras) == "table" and l.extras or {}) do
    message["custom." .. key] = v
  end
  return message
end

function A.decode(bytes, ctx)
  if bytes:match("^%s*{") then
    local all, why = json.decode(bytes)
    if why then
      return nil, "not JSON: " .. why
    end
    if type(all.location) ~= "table" then
      return nil, "not what OsmAnd clients send: an object with device_id and location is expected"
    end
    return {from_json(all)}
  end
  local q = ctx.query
  for pair in bytes:gmatch("[^&%s]+") do
    local key, text = pair:match("^([^=]*)=?(.*)$")
    q[plain(key)] = plain(text)
  end
  if next(q) == nil then
    return nil, "neither parameters nor a body"
  end
  return {from_parameters(q)}
end

A.vectors = {
  {"parameters in the query", decode = "", method = "GET",
    query = "id=123456&timestamp=1767323045&lat=54.687157&lon=25.279652&speed=10&bearing=271&altitude=112.5&batt=87&charge=true&valid=true" ..
      "&driverUniqueId=0042&note=a+b%2Fc&steps=12",
    want = {{ident = "123456", timestamp = 1767323045, ["position.latitude"] = 54.687157, ["position.longitude"] = 25.279652,
      ["position.speed"] = 18.52, ["position.direction"] = 271, ["position.altitude"] = 112.5, ["battery.level"] = 87,
      ["battery.charging.status"] = true, ["position.valid"] = true, ["driver.id"] = "0042", ["custom.note"] = "a b/c", ["custom.steps"] = 12}}},
  {"a form, milliseconds, and both coordinates in one", decode = "deviceid=a%2Bb&timestamp=1767323045250&location=1.5,-2.5", method = "POST",
    want = {{ident = "a+b", timestamp = 1767323045.25, ["position.latitude"] = 1.5, ["position.longitude"] = -2.5}}},
  {"time as a text", decode = "", query = "id=1&timestamp=2026-01-02T03:04:05Z", want = {{ident = "1", timestamp = 1767323045}}},
  {"time without a zone", decode = "", query = "id=1&timestamp=2026-01-02%2003:04:05", want = {{ident = "1", timestamp = 1767323045}}},
  {"leading zeros and long digits stay texts", decode = "", query = "id=0017&card=00451&serial=12345678901234567890",
    want = {{ident = "0017", ["custom.card"] = "00451", ["custom.serial"] = "12345678901234567890"}}},
  {"JSON of newer clients", decode = '{"device_id":"9","location":{"timestamp":"2026-01-02T03:04:05.000Z","coords":{"latitude":1.5,"longitude":2.5,' ..
    '"speed":10.0,"heading":-1,"accuracy":4.5,"altitude":20.0},"is_moving":true,"odometer":1500.0,"battery":{"level":0.5,"is_charging":false},' ..
    '"activity":{"type":"walking"},"extras":{"k":"v"}}}',
    want = {{ident = "9", timestamp = 1767323045, ["position.latitude"] = 1.5, ["position.longitude"] = 2.5, ["position.speed"] = 36.0,
      ["position.accuracy"] = 4.5, ["position.altitude"] = 20.0, ["movement.status"] = true, ["vehicle.mileage"] = 1.5,
      ["battery.level"] = 50.0, ["battery.charging.status"] = false, ["custom.activity"] = "walking", ["custom.k"] = "v"}}},
  {"nothing at all", decode = "", error = "neither parameters nor a body"},
}

return A
