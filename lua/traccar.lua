-- traccar: positions as a Traccar server forwards them (forward.type=json: one object {"position": {…}, "device": {…}} a request).
--
-- Traccar speaks of knots, metres and milliseconds where messages have km/h, kilometres and hours. What it calls fixTime is the time of the
-- last fix: while there is none, positions repeat it, and deviceTime is the time of the report. Attributes without a name of ours are kept
-- under custom.
local A = {summary = "Traccar: its forward JSON, one position a request"}

local names = {
  sat = "position.satellites", hdop = "position.hdop", pdop = "position.pdop", vdop = "position.vdop",
  power = "external.powersource.voltage", battery = "battery.voltage", batteryLevel = "battery.level", charge = "battery.charging.status",
  fuel = "fuel.volume", fuelLevel = "fuel.level", ignition = "engine.ignition.status", motion = "movement.status",
  driverUniqueId = "driver.id", deviceTemp = "device.temperature", rpm = "engine.rpm", vin = "vehicle.vin", input = "din", output = "dout",
}
local scaled = {odometer = {"vehicle.mileage", 1000}, hours = {"engine.motorhours", 3600000}}
local numbered = {adc = {"ain.", "number"}, ["in"] = {"din.", "boolean"}, out = {"dout.", "boolean"}}

local function given(v)
  if v ~= json.null then
    return v
  end
end

local function object(v)
  return type(v) == "table" and v or {}
end

-- Three digits behind the point: a factor must not add digits that nobody measured.
local function rounded(v)
  return math.floor(v * 1000 + 0.5) / 1000
end

local function add_attribute(message, key, value)
  local scale = scaled[key]
  local letters, digits = key:match("^(%a+)(%d+)$")
  local series = numbered[letters]
  if names[key] then
    message[names[key]] = value
  elseif scale and type(value) == "number" then
    message[scale[1]] = rounded(value / scale[2])
  elseif series and type(value) == series[2] then
    message[series[1] .. digits] = value
  else
    message["custom." .. key] = value
    if key == "alarm" and type(value) == "string" and (","..value..","):find(",sos,", 1, true) then
      message["alarm.event.trigger"] = true
    end
  end
end

local function add_cell(message, network)
  local cell = object(object(given(network)).cellTowers)[1]
  if type(cell) ~= "table" then
    return
  end
  message["gsm.mcc"] = given(cell.mobileCountryCode)
  message["gsm.mnc"] = given(cell.mobileNetworkCode)
  message["gsm.lac"] = given(cell.locationAreaCode)
  message["gsm.cellid"] = given(cell.cellId)
end

function A.decode(bytes, ctx)
  local all, why = json.decode(bytes)
  if why then
    return nil, "not JSON: " .. why
  end
  if type(all) ~= "table" or type(all.position) ~= "table" or type(all.device) ~= "table" then
    return nil, "not what Traccar forwards: an object with position and device is expected"
  end
  local p, message = all.position, {ident = given(all.device.uniqueId), ["device.name"] = given(all.device.name)}
  local fix, report = given(p.fixTime), given(p.deviceTime)
  local at = p.valid == true and (fix or report) or report or fix
  message.timestamp = at and (type(at) == "string" and time.parse(at) or at)
  for key, value in pairs(object(given(p.attributes))) do
    if given(value) ~= nil then
      add_attribute(message, key, value)
    end
  end
  add_cell(message, p.network)
  message["position.latitude"] = given(p.latitude)
  message["position.longitude"] = given(p.longitude)
  message["position.altitude"] = given(p.altitude)
  message["position.direction"] = given(p.course)
  message["position.valid"] = given(p.valid)
  message["position.speed"] = type(p.speed) == "number" and rounded(p.speed * 1.852) or nil
  if type(p.accuracy) == "number" and p.accuracy > 0 then
    message["position.accuracy"] = p.accuracy
  end
  message["custom.protocol"] = given(p.protocol)
  message["custom.address"] = given(p.address)
  return {message}
end

local forwarded = '{"position":{"id":0,"attributes":{"sat":9,"odometer":1234567.0,"hours":5400000,"ignition":true,"adc1":4.5,"in2":true,' ..
  '"alarm":"sos,tow","rssi":24,"result":null},"deviceId":7,"protocol":"teltonika","serverTime":"2026-01-02T03:04:09.000+00:00",' ..
  '"deviceTime":"2026-01-02T03:04:08.000+00:00","fixTime":"2026-01-02T03:04:05.000+00:00","valid":true,"latitude":54.687157,' ..
  '"longitude":25.279652,"altitude":112.0,"speed":10.0,"course":271.0,"address":null,"accuracy":0.0,"network":{"radioType":"gsm",' ..
  '"considerIp":false,"cellTowers":[{"radioType":"gsm","cellId":11,"locationAreaCode":22,"mobileCountryCode":246,"mobileNetworkCode":2,' ..
  '"signalStrength":null}],"wifiAccessPoints":null},"geofenceIds":null},"device":{"id":7,"attributes":{},"groupId":0,"name":"Truck 17",' ..
  '"uniqueId":"352093081234567","status":"online","phone":null}}'

A.vectors = {
  {"a position with a fix", decode = forwarded, want = {{
    ident = "352093081234567", timestamp = 1767323045, ["device.name"] = "Truck 17", ["position.latitude"] = 54.687157,
    ["position.longitude"] = 25.279652, ["position.altitude"] = 112.0, ["position.direction"] = 271.0, ["position.valid"] = true,
    ["position.speed"] = 18.52, ["position.satellites"] = 9, ["vehicle.mileage"] = 1234.567, ["engine.motorhours"] = 1.5,
    ["engine.ignition.status"] = true, ["ain.1"] = 4.5, ["din.2"] = true, ["custom.alarm"] = "sos,tow", ["alarm.event.trigger"] = true,
    ["custom.rssi"] = 24, ["custom.protocol"] = "teltonika", ["gsm.mcc"] = 246, ["gsm.mnc"] = 2, ["gsm.lac"] = 22, ["gsm.cellid"] = 11}}},
  {"without a fix the time is that of the report", decode = '{"position":{"valid":false,"fixTime":"2026-01-02T03:04:05.000+00:00",' ..
    '"deviceTime":"2026-01-02T03:04:08.250+00:00","attributes":{}},"device":{"uniqueId":"1"}}',
    want = {{ident = "1", timestamp = 1767323048.25, ["position.valid"] = false}}},
  {"a bad time is left for the router to refuse", decode = '{"position":{"fixTime":"noon","valid":true},"device":{"uniqueId":"1"}}',
    want = {{ident = "1", timestamp = "noon", ["position.valid"] = true}}},
  {"an attribute of another kind than its name says", decode = '{"position":{"attributes":{"odometer":"far","in1":3}},"device":{"uniqueId":"1"}}',
    want = {{ident = "1", ["custom.odometer"] = "far", ["custom.in1"] = 3}}},
  {"something else", decode = '[{"ident":"1"}]', error = "an object with position and device is expected"},
  {"no JSON", decode = "uniqueId#D#", error = "not JSON"},
}

return A
