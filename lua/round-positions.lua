-- round-positions: fewer digits in the numbers that say where.
--
-- Five decimals of a degree are about a metre, which is what receivers know; six and more are noise that costs bytes and tells more
-- of a person than is meant. Values that are no numbers are left as they are.
local A = {
  summary = "Rounds latitude and longitude to so many decimals",
  options = {
    digits = {type = "integer", minimum = 0, maximum = 9, default = 5, description = "Decimals that are kept; 5 are about a metre"},
    fields = {type = "array", items = {type = "string"}, default = {"position.latitude", "position.longitude"}, description = "What is rounded"},
  },
}

function A.transform(msg, ctx)
  local scale = 10.0 ^ ctx.options.digits
  for _, name in ipairs(ctx.options.fields) do
    local v = msg[name]
    if math.type(v) == "float" then
      local rounded = math.floor(v * scale + 0.5) / scale
      -- What has no more digits than wanted keeps its bytes.
      if rounded ~= v then
        msg[name] = rounded
      end
    end
  end
  return msg
end

A.vectors = {
  {"five digits unless told otherwise", transform = '{"ident":"a","position.latitude":45.452595614,"position.longitude":-14.018194514}',
    want = '{"ident":"a","position.latitude":45.4526,"position.longitude":-14.01819}'},
  {"so many as asked for", transform = '{"position.latitude":45.452595614,"position.longitude":14.018194014}', options = {digits = 3},
    want = '{"position.latitude":45.453,"position.longitude":14.018}'},
  {"short values keep their bytes", transform = '{"position.latitude":45.10,"position.longitude":14,"x":1.0}',
    want = '{"position.latitude":45.10,"position.longitude":14,"x":1.0}'},
  {"other fields by name", transform = '{"a":1.256,"position.latitude":1.123456789}', options = {digits = 1, fields = {"a"}},
    want = '{"a":1.3,"position.latitude":1.123456789}'},
  {"no number, no rounding", transform = '{"position.latitude":null,"position.longitude":"14.0181940141"}',
    want = '{"position.latitude":null,"position.longitude":"14.0181940141"}'},
}

return A
