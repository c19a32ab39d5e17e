-- Installed by slurm-gateway's configure.sh; overwritten when that runs again. Slurm calls it for every job that ends or
-- is requeued (JobCompType=jobcomp/lua), in slurmctld itself and before it goes on: so what is written here has reached
-- the kernel whatever becomes of slurmctld afterwards.
--
-- One line of JSON for each. A user chooses a job's name and paths: control characters, quotes and backslashes are
-- escaped, so that no name can end its line or its member.

local DIRECTORY = "/var/lib/slurm-gateway/journal"
local LONGEST = 4096

local NUMBERS = {
  "job_id", "array_job_id", "array_task_id", "array_task_cnt", "het_job_id", "het_job_offset", "user_id", "job_state",
  "exit_code", "submit_time", "start_time", "end_time", "restart_cnt", "time_limit", "total_nodes", "total_cpus",
}
local TEXTS = { "name", "account", "partition", "nodes", "std_out", "std_err", "work_dir" }

local function quoted(value)
  local safe = string.gsub(string.sub(value, 1, LONGEST), '[%c"\\]', function(character)
    return string.format("\\u%04x", string.byte(character))
  end)
  return '"' .. safe .. '"'
end

function slurm_jobcomp_log_record(job)
  local members = { '"told":' .. os.time() }
  for _, name in ipairs(NUMBERS) do
    if job[name] ~= nil then
      members[#members + 1] = string.format('"%s":%d', name, job[name])
    end
  end
  for _, name in ipairs(TEXTS) do
    if job[name] ~= nil then
      members[#members + 1] = string.format('"%s":%s', name, quoted(job[name]))
    end
  end
  -- The gateway's marker, of what may be long: the last one, for what a submit's user has there comes before it. Without
  -- the ^ a long text that has none would be tried from each of its characters, while slurmctld waits.
  local marker = job.extra and string.match(job.extra, "^.*(slurm%-gateway:%d+:%x+:%x*)")
  if marker then
    members[#members + 1] = '"marker":' .. quoted(marker)
  end
  -- A line of its own also after one that was cut short.
  local line = "\n{" .. table.concat(members, ",") .. "}\n"
  local path = DIRECTORY .. os.date("!/ends-%Y%m%d%H")
  local file, problem = io.open(path, "a")
  if file then
    file:setvbuf("full", #line + 1)
    if not (file:write(line) and file:close()) then
      problem = "cannot write to it"
    end
  end
  if problem then
    slurm.log_error("slurm-gateway: job %d's end is not in %s: %s", job.job_id, path, tostring(problem))
  end
  return slurm.SUCCESS
end

return slurm.SUCCESS
