-- toll-bg: a template for Bulgarian toll providers. It claims no provider's interface: adapt it to your contract.
--
-- In Bulgaria a provider of declared data (ДДД) takes positions of vehicles and passes them on to the toll authority. What it wants beside
-- the position is known: the PAN it gave the vehicle, licence plate, country, axles, weight, emission class. How it wants them is not public.
-- So the rows below are an assumption: take a copy (`sluice new adapter toll-bg --like toll-bg`), and change names and units to those of
-- your contract; a file of your own hides this one. Say who you are by `headers` in the specification.
--
-- What does not change with the distance stands in the subscription, for each device, all of it together:
--
--   subscriptions:
--     - {stream: bulgaria, devices: {"352093081234567": {pan: "3086…", plate: CB1234AB, axles: 5, weight: 40000}}}
--
-- A vehicle of which something is missing is an error of the specification; messages of one that nobody described are skipped, and counted
-- under that reason. So are a position that says of itself that it is not valid, and a message without a time. Speed and heading that are no
-- numbers, or ones that no vehicle has, are left out. Providers ask whether you are there: examples/tolls.yaml has a channel that answers.
local A = {
  summary = "Template for Bulgarian toll providers (ДДД): adapt it to your contract",
  transport = "http",
  device = {
    pan = {type = "string", required = true, pattern = "^[0-9A-Za-z-]{1,32}$", description = "Number the provider gave the vehicle"},
    plate = {type = "string", required = true, minLength = 2, maxLength = 16, description = "Licence plate"},
    country = {type = "string", pattern = "^[A-Z]{1,3}$", description = "Country of the plate; without it BG"},
    axles = {type = "integer", required = true, minimum = 2, maximum = 12, description = "Axles, those of a trailer included"},
    weight = {type = "integer", required = true, minimum = 1, maximum = 100000, description = "Permitted weight in kg, that of a trailer included"},
    emission_class = {type = "string", pattern = "^(0|1|2|3|4|5|6|EEV)$", description = "Euro emission class; without it none is said"},
  },
  defaults = {buffer = {ttl = "10d"}},
  body = {open = "[", separator = ",", close = "]", type = "application/json"},
}

-- A finite number, or nil.
local function number(v)
  return math.type(v) and v - v == 0 and v or nil
end

local required = {"pan", "plate", "axles", "weight"}

function A.transform(msg, ctx)
  local vehicle, lat, lon = ctx.device, msg["position.latitude"], msg["position.longitude"]
  local ts, speed, heading = number(msg.timestamp), number(msg["position.speed"]), number(msg["position.direction"])
  for _, name in ipairs(required) do
    if vehicle[name] == nil then
      return nil, "no " .. name .. " for this device in the subscription"
    end
  end
  if msg["position.valid"] == false or not geo.valid(lat, lon) then
    return nil, "no position"
  end
  if not ts then
    return nil, "no time"
  end
  return {
    id = ctx.id, ts = ts, lat = lat, lon = lon, speed = speed and speed >= 0 and speed <= 1000 and speed or nil,
    heading = heading and heading % 360,
    pan = vehicle.pan, plate = vehicle.plate, country = vehicle.country or "BG", axles = vehicle.axles, weight_kg = vehicle.weight,
    emission_class = vehicle.emission_class,
  }
end

local truck = {pan = "3086-17", plate = "CB1234AB", axles = 5, weight = 40000}

-- What a message with these members becomes: those of the plainest row, and these.
local function about(name, more, row, skipped)
  local message = {ident = "a", timestamp = 1, ["position.latitude"] = 42.7, ["position.longitude"] = 23.3}
  local want = {id = "18", ts = 1, lat = 42.7, lon = 23.3, pan = truck.pan, plate = truck.plate, country = "BG", axles = 5, weight_kg = 40000}
  for key, value in pairs(row or {}) do
    want[key] = value
  end
  local text = json.encode(message)
  return {name, id = "18", device = truck, transform = text:sub(1, -2) .. "," .. more .. "}", want = not skipped and want or nil, skipped = skipped}
end

local function without(name)
  local device = {}
  for key, value in pairs(truck) do
    device[key] = key ~= name and value or nil
  end
  return {"no " .. name, transform = {ident = "a", timestamp = 1, ["position.latitude"] = 42.7, ["position.longitude"] = 23.3}, device = device,
    skipped = "no " .. name .. " for this device in the subscription"}
end

A.vectors = {
  {"all that is asked for", transform = '{"ident":"a","timestamp":1767323045.5,"position.latitude":42.6977,"position.longitude":23.3219,' ..
    '"position.speed":82,"position.direction":271.5,"battery.level":80}', device = truck, id = "17",
    want = '{"axles":5,"country":"BG","heading":271.5,"id":"17","lat":42.6977,"lon":23.3219,"pan":"3086-17","plate":"CB1234AB","speed":82,' ..
      '"ts":1767323045.5,"weight_kg":40000}'},
  {"another country, and a class", transform = {ident = "a", timestamp = 1, ["position.latitude"] = 42.7, ["position.longitude"] = 23.3}, id = "18",
    device = {pan = "1", plate = "B 101 ABC", axles = 2, weight = 12000, country = "RO", emission_class = "EEV"},
    want = {id = "18", ts = 1, lat = 42.7, lon = 23.3, pan = "1", plate = "B 101 ABC", country = "RO", axles = 2, weight_kg = 12000, emission_class = "EEV"}},
  without("pan"), without("plate"), without("axles"), without("weight"),
  {"a device nobody described", transform = {ident = "a", timestamp = 1, ["position.latitude"] = 42.7, ["position.longitude"] = 23.3},
    skipped = "no pan for this device in the subscription"},
  {"no position", transform = {ident = "a", timestamp = 1, ["position.latitude"] = 42.7}, device = truck, skipped = "no position"},
  {"a position that is a text", transform = {ident = "a", ["position.latitude"] = "42.7", ["position.longitude"] = 23.3}, device = truck, skipped = "no position"},
  {"a position that is none on Earth", transform = {ident = "a", ["position.latitude"] = 142.7, ["position.longitude"] = 23.3}, device = truck, skipped = "no position"},
  about("a receiver without a fix", '"position.valid":false', nil, "no position"),
  about("a fix", '"position.valid":true', {}),
  {"no time", transform = {ident = "a", ["position.latitude"] = 42.7, ["position.longitude"] = 23.3}, device = truck, skipped = "no time"},
  {"a time that is a text", transform = {ident = "a", timestamp = "now", ["position.latitude"] = 42.7, ["position.longitude"] = 23.3}, device = truck, skipped = "no time"},
  about("a speed that is a text", '"position.speed":"fast"', {}),
  about("a speed that is an object", '"position.speed":{"a":1}', {}),
  about("a speed without end", '"position.speed":1e400', {}),
  about("backwards", '"position.speed":-5', {}),
  about("faster than any vehicle", '"position.speed":1000.5', {}),
  about("standing", '"position.speed":0,"position.direction":0', {speed = 0, heading = 0}),
  about("once more around", '"position.direction":720', {heading = 0}),
  about("the other way around", '"position.direction":-90', {heading = 270}),
  about("a heading of nothing", '"position.direction":null', {}),
}

return A
