-- NAME: what it changes, and for whom.
--
-- A step of a stream: `transforms: [{use: NAME, with: {below: 5}}]`. The examples at the end are run before the file is trusted:
-- change them first.
local A = {
  summary = "One line for people: what NAME does",
  -- What a user may set under `with`; checked as the rest of the YAML is.
  options = {
    below = {type = "number", default = 3, minimum = 0, description = "Speeds under this, in km/h, are standing still"},
  },
}

-- One message → the message as changed, a table, ready bytes, or nil and why it is not sent.
function A.transform(msg, ctx)
  local speed = msg["position.speed"]
  if not speed then
    return msg                                   -- what is not touched keeps its bytes
  end
  if speed < ctx.options.below then
    msg["position.speed"] = 0
  end
  msg["movement.status"] = speed >= ctx.options.below
  return msg
end

A.vectors = {
  {"slow is standing", transform = '{"ident":"a","position.speed":2.4}', want = '{"ident":"a","position.speed":0,"movement.status":false}'},
  {"fast is moving", transform = '{"ident":"a","position.speed":52.0}', want = '{"ident":"a","position.speed":52.0,"movement.status":true}'},
  {"as the user says", transform = '{"position.speed":4}', options = {below = 5}, want = '{"position.speed":0,"movement.status":false}'},
  {"without a speed nothing changes", transform = '{"ident":"a"}', want = '{"ident":"a"}'},
}

return A
