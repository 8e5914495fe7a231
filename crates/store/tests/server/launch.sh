# A PostgreSQL server of one's own in a new folder, until the input ends.
# $1: the folder of its programs; the rest: its settings.
# Prints its folder once it serves; then does what each line of input says.
bin=$1; shift
dir=$(mktemp -d /tmp/freehold-postgres.XXXXXX) && chmod 755 "$dir" || exit 1
# Text must not sort by its bytes by itself, or nothing would notice if the
# tables did not ask for it.
"$bin/initdb" -D "$dir/data" -U freehold -A trust -E UTF8 --locale=C.UTF-8 \
  --locale-provider=icu --icu-locale=en-US --no-sync >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
port=$(printf '%s\n' "$@" | sed -n 's/^port=//p')
export PGPORT="${port:-5432}"
up() {
  # After a kill the memory of the dead server is given up only in a while.
  for try in 1 2 3 4 5 6 7 8 9 10; do
    "$bin/postgres" -D "$dir/data" -k "$dir" "$@" >>"$dir/log" 2>&1 </dev/null &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
      "$bin/pg_isready" -q -h "$dir" && return
      sleep 0.05
    done
    sleep 0.5
  done
  cat "$dir/log" >&2
}
up "$@"
echo "$dir"
while read -r word; do
  case $word in
    up) up "$@" ;;
    stop) kill -INT "$pid"; wait "$pid" ;;
    kill) kill -KILL "$pid"; wait "$pid" 2>/dev/null ;;
  esac
  echo "$word"
done
kill -QUIT "$pid"
wait "$pid"
rm -rf "$dir"
